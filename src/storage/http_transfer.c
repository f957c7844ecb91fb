/* One request on one connection: see http_transfer.h. */
#include "src/storage/http_transfer.h"

#include <curl/curl.h>
#include <string.h>

#define MAXIMUM_HEADERS 256u
#define MAXIMUM_HEADER_BYTES (16u << 10)
#define MAXIMUM_ERROR_BODY_BYTES (64u << 10)
#define DEFAULT_BODY_BYTES (1u << 20)
/* libcurl's own buffers, which it takes and gives back with each transfer. LARGE: few system calls on a fast
 * link, and small enough for hundreds of connections. SMALL: for what fits, because the allocator hands out
 * and merges large pieces slowly. */
#define LARGE_BUFFER_BYTES (256L << 10)
#define SMALL_BUFFER_BYTES (16L << 10)

static int
get_status(HttpTransfer *transfer)
{
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static size_t
refuse_reply(HttpTransfer *transfer, const char *why)
{
    if (!transfer->error)
        g_set_error(&transfer->error, STORAGEFS_ERROR, ERROR_PROTOCOL, "%s", why);
    return 0;
}

static void
store_header(HttpTransfer *transfer, const char *line, gsize length_bytes)
{
    const char *colon = memchr(line, ':', length_bytes);
    if (!colon || colon == line)
        return;
    g_autofree char *name = g_ascii_strdown(line, colon - line);
    g_autofree char *value = g_strndup(colon + 1, length_bytes - (gsize)(colon + 1 - line));
    g_strstrip(name);
    g_strstrip(value);
    g_hash_table_replace(transfer->response.headers, g_steal_pointer(&name), g_steal_pointer(&value));
}

static gsize
trimmed_length(const char *line, gsize length_bytes)
{
    while (length_bytes > 0 && (line[length_bytes - 1] == '\n' || line[length_bytes - 1] == '\r'))
        length_bytes--;
    return length_bytes;
}

static gboolean
is_sending(const HttpTransfer *transfer)
{
    const ByteSource *source = transfer->request->body;
    return source && transfer->offset < source->size_bytes;
}

/* What comes while the request is still being sent is no reason to hurry with it. */
static void
note_header(HttpTransfer *transfer, gsize length_bytes)
{
    if (get_status(transfer) >= 200)
        http_pace_note(&transfer->pace, HTTP_PACE_HEADERS, length_bytes);
    else if (!is_sending(transfer))
        http_pace_note(&transfer->pace, HTTP_PACE_INTERIM, length_bytes);
}

static void
note_body(HttpTransfer *transfer, int status, gsize length_bytes)
{
    const GByteArray *body = transfer->response.body;
    HttpPhase phase = HTTP_PACE_BODY;
    if (status >= 300)
        phase = HTTP_PACE_REFUSAL;
    else if (transfer->request->works_long)
        phase = HTTP_PACE_WORKING;
    else if (!transfer->request->buffer && transfer->pace.phase < HTTP_PACE_BODY &&
             http_pace_is_blank(body->data, body->len))
        phase = HTTP_PACE_BLANKS;
    http_pace_note(&transfer->pace, phase, length_bytes);
}

static size_t
on_header(char *line, size_t size, size_t count, void *data)
{
    HttpTransfer *transfer = data;
    transfer->callbacks++;
    note_header(transfer, size * count);
    gsize length_bytes = trimmed_length(line, size * count);
    if (length_bytes > MAXIMUM_HEADER_BYTES)
        return refuse_reply(transfer, "a header of the reply is too long");
    if (memchr(line, '\0', length_bytes))
        return refuse_reply(transfer, "a header of the reply holds a NUL byte");
    if (length_bytes == 0) {
        transfer->headers_done = get_status(transfer) >= 200;
        return size * count;
    }
    if (++transfer->header_count > MAXIMUM_HEADERS)
        return refuse_reply(transfer, "the reply has too many headers");
    if (transfer->headers_done)
        return size * count;
    if (g_str_has_prefix(line, "HTTP/"))
        g_hash_table_remove_all(transfer->response.headers);
    else
        store_header(transfer, line, length_bytes);
    return size * count;
}

static size_t
fill_buffer(HttpTransfer *transfer, const char *bytes, gsize length_bytes)
{
    const HttpRequest *request = transfer->request;
    HttpResponse *response = &transfer->response;
    gsize taken = MIN(length_bytes, request->buffer_bytes - response->buffer_length_bytes);
    memcpy((char *)request->buffer + response->buffer_length_bytes, bytes, taken);
    response->buffer_length_bytes += taken;
    if (taken < length_bytes)
        response->truncated = transfer->cut = TRUE;
    return taken;
}

static size_t
grow_body(HttpTransfer *transfer, const char *bytes, gsize length_bytes, int status)
{
    const HttpRequest *request = transfer->request;
    gboolean failed = status >= 300;
    gsize limit = request->maximum_bytes ? request->maximum_bytes : DEFAULT_BODY_BYTES;
    if (failed)
        limit = MAXIMUM_ERROR_BODY_BYTES;
    gsize taken = MIN(length_bytes, limit - transfer->response.body->len);
    if (taken < length_bytes && !failed)
        return refuse_reply(transfer, "the body of the reply is longer than it may be");
    g_byte_array_append(transfer->response.body, (const guint8 *)bytes, (guint)taken);
    /* The status of a failure counts, whatever page comes with it. */
    transfer->cut = taken < length_bytes;
    return taken;
}

static size_t
on_body(char *bytes, size_t size, size_t count, void *data)
{
    HttpTransfer *transfer = data;
    transfer->callbacks++;
    int status = get_status(transfer);
    gboolean fills = transfer->request->buffer && (status == 200 || status == 206);
    size_t taken =
        fills ? fill_buffer(transfer, bytes, size * count) : grow_body(transfer, bytes, size * count, status);
    note_body(transfer, status, taken);
    return taken;
}

static size_t
on_send(char *buffer, size_t size, size_t count, void *data)
{
    HttpTransfer *transfer = data;
    const ByteSource *source = transfer->request->body;
    transfer->callbacks++;
    gsize length_bytes = (gsize)MIN((guint64)size * count, source->size_bytes - transfer->offset);
    if (length_bytes == 0)
        return 0;
    if (!source->read(source->data, transfer->offset, buffer, length_bytes, &transfer->error))
        return CURL_READFUNC_ABORT;
    transfer->offset += length_bytes;
    http_pace_note(&transfer->pace, is_sending(transfer) ? HTTP_PACE_SENDING : HTTP_PACE_SENT, length_bytes);
    return length_bytes;
}

static int
on_seek(void *data, curl_off_t offset, int origin)
{
    HttpTransfer *transfer = data;
    if (origin != SEEK_SET || offset < 0 || (guint64)offset > transfer->request->body->size_bytes)
        return CURL_SEEKFUNC_FAIL;
    transfer->offset = (guint64)offset;
    http_pace_restart(&transfer->pace);
    return CURL_SEEKFUNC_OK;
}

/* libcurl repeats a request when a kept connection closes without an answer. The server may have acted on the
 * first one, so only what changes nothing is repeated here; for the rest the caller looks first. */
static int
on_request(void *data, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    HttpTransfer *transfer = data;
    const char *method = transfer->request->method;
    gboolean harmless = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    http_pace_restart(&transfer->pace);
    if (++transfer->attempts == 1 || harmless)
        return CURL_PREREQFUNC_OK;
    g_set_error(&transfer->error, STORAGEFS_ERROR, ERROR_UNAVAILABLE,
                "the connection closed before the reply came");
    return CURL_PREREQFUNC_ABORT;
}

static gboolean
is_printable_ascii(const char *text)
{
    for (; *text; text++) {
        if (!g_ascii_isgraph(*text))
            return FALSE;
    }
    return TRUE;
}

/* "Name: value" without what could begin another line. */
static gboolean
is_header(const char *line)
{
    const char *colon = strchr(line, ':');
    if (!colon || colon == line)
        return FALSE;
    for (const char *c = line; *c; c++) {
        gboolean control = g_ascii_iscntrl(*c) && *c != '\t';
        if (control || (c < colon && !g_ascii_isgraph(*c)))
            return FALSE;
    }
    return TRUE;
}

static gboolean
check_request(const HttpRequest *request, GError **error)
{
    if (!is_printable_ascii(request->url)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "the URL holds a byte that must be escaped");
        return FALSE;
    }
    for (const char *const *header = request->headers; header && *header; header++) {
        if (!is_header(*header)) {
            g_autofree char *name = g_strcanon(g_strndup(*header, strcspn(*header, ":")),
                                               G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_", '?');
            g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "header %s: not a line that can be sent",
                        name);
            return FALSE;
        }
    }
    return TRUE;
}

/* libcurl takes "Name:" as "leave this header out", and wants "Name;" for an empty value. */
static struct curl_slist *
append_header(struct curl_slist *list, const char *line)
{
    const char *colon = strchr(line, ':');
    g_autofree char *empty = NULL;
    if (colon[1 + strspn(colon + 1, " \t")] == '\0')
        empty = g_strdup_printf("%.*s;", (int)(colon - line), line);
    struct curl_slist *longer = curl_slist_append(list, empty ? empty : line);
    return longer ? longer : list;
}

static void
set_headers(HttpTransfer *transfer)
{
    /* Not ours to say: a body is sent without asking first, and the driver names what it accepts. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    list = curl_slist_append(list, "Accept:");
    for (const char *const *header = transfer->request->headers; header && *header; header++)
        list = append_header(list, *header);
    transfer->headers = list;
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, list);
}

static void
set_method(HttpTransfer *transfer)
{
    CURL *easy = transfer->easy;
    const char *method = transfer->request->method;
    const ByteSource *body = transfer->request->body;
    gboolean sends = body || strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0;
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (sends) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(body ? body->size_bytes : 0));
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

/* Of a reply without a length that is known before it may be large. */
static void
set_buffers(HttpTransfer *transfer)
{
    const HttpRequest *request = transfer->request;
    gboolean gets = strcmp(request->method, "GET") == 0;
    gboolean receives_little = request->buffer ? request->buffer_bytes < SMALL_BUFFER_BYTES : !gets;
    gboolean sends_little = !request->body || request->body->size_bytes < SMALL_BUFFER_BYTES;
    curl_easy_setopt(transfer->easy, CURLOPT_BUFFERSIZE,
                     receives_little ? SMALL_BUFFER_BYTES : LARGE_BUFFER_BYTES);
    curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD_BUFFERSIZE,
                     sends_little ? SMALL_BUFFER_BYTES : LARGE_BUFFER_BYTES);
}

static void
set_callbacks(HttpTransfer *transfer)
{
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
}

gboolean
http_transfer_begin(HttpTransfer *transfer, const HttpRequest *request, void *easy, GError **error)
{
    *transfer = (HttpTransfer){.request = request, .easy = easy};
    if (!check_request(request, error))
        return FALSE;
    transfer->response.headers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    transfer->response.body = g_byte_array_new();
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    set_method(transfer);
    set_headers(transfer);
    set_buffers(transfer);
    set_callbacks(transfer);
    return TRUE;
}

void
http_transfer_end(HttpTransfer *transfer)
{
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(transfer->headers);
    http_response_clear(&transfer->response);
    g_clear_error(&transfer->error);
}
