package main

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, key := splitPath(r)
	kind := kindOf(r)
	switch kind {
	case "ListBuckets":
		s.listBuckets(w)
		return
	case "CreateBucket":
		s.createBucket(w, r, name)
		return
	}
	s.lock.RLock()
	b := s.buckets[name]
	var o *object
	if b != nil {
		o = b.objects[key]
	}
	s.lock.RUnlock()
	if b == nil {
		fail(w, r, http.StatusNotFound, "NoSuchBucket")
		return
	}
	switch kind {
	case "ListObjects":
		s.list(w, r, name)
	case "HeadBucket":
	case "DeleteBucket":
		s.deleteBucket(w, r, name)
	case "GetObject", "HeadObject":
		s.get(w, r, o)
	case "PutObject":
		s.put(w, r, b, key)
	case "CopyObject":
		s.copy(w, r, b, key)
	case "DeleteObject":
		s.lock.Lock()
		b.remove(key)
		s.lock.Unlock()
		s.forget(o)
		w.WriteHeader(http.StatusNoContent)
	case "CreateMultipartUpload":
		id := fmt.Sprintf("upload-%d", s.sequence.Add(1))
		s.lock.Lock()
		s.uploads[id] = &upload{headers: storedHeaders(r), parts: map[int]*object{}}
		s.lock.Unlock()
		answer(w, "InitiateMultipartUploadResult", "<Bucket>%s</Bucket><Key>%s</Key><UploadId>%s</UploadId>", name, escape(key), id)
	case "UploadPart", "UploadPartCopy":
		s.part(w, r)
	case "CompleteMultipartUpload":
		s.complete(w, r, b, key)
	case "AbortMultipartUpload":
		s.lock.Lock()
		delete(s.uploads, r.URL.Query().Get("uploadId"))
		s.lock.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		fail(w, r, http.StatusNotImplemented, "NotImplemented")
	}
}

func answer(w http.ResponseWriter, root, format string, values ...any) {
	w.Header().Set("Content-Type", "application/xml")
	text := xml.Header + "<" + root + ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + fmt.Sprintf(format, values...) + "</" + root + ">"
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	io.WriteString(w, text)
}

func (s *store) listBuckets(w http.ResponseWriter) {
	s.lock.RLock()
	var names []string
	for name := range s.buckets {
		names = append(names, name)
	}
	s.lock.RUnlock()
	sort.Strings(names)
	var text strings.Builder
	for _, name := range names {
		text.WriteString("<Bucket><Name>" + name + "</Name><CreationDate>2020-01-01T00:00:00.000Z</CreationDate></Bucket>")
	}
	answer(w, "ListAllMyBucketsResult", "<Owner><ID>bench</ID></Owner><Buckets>%s</Buckets>", text.String())
}

func (s *store) createBucket(w http.ResponseWriter, r *http.Request, name string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.buckets[name] != nil {
		fail(w, r, http.StatusConflict, "BucketAlreadyOwnedByYou")
		return
	}
	s.buckets[name] = &bucket{objects: map[string]*object{}}
}

func (s *store) deleteBucket(w http.ResponseWriter, r *http.Request, name string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if b := s.buckets[name]; b != nil && len(b.keys) > 0 {
		fail(w, r, http.StatusConflict, "BucketNotEmpty")
		return
	}
	delete(s.buckets, name)
	w.WriteHeader(http.StatusNoContent)
}

// matches tells whether a condition names the ETag, with or without quotes.
func matches(condition, etag string) bool {
	return condition == "*" || strings.Trim(condition, `"`) == strings.Trim(etag, `"`)
}

// refused says why a write onto o, which may be nil, must not be.
func refused(r *http.Request, o *object) (int, string) {
	if condition := r.Header.Get("If-Match"); condition != "" {
		if o == nil {
			return http.StatusNotFound, "NoSuchKey"
		}
		if !matches(condition, o.etag) {
			return http.StatusPreconditionFailed, "PreconditionFailed"
		}
	}
	if condition := r.Header.Get("If-None-Match"); condition != "" && o != nil && matches(condition, o.etag) {
		return http.StatusPreconditionFailed, "PreconditionFailed"
	}
	return 0, ""
}

// publish makes an object visible if the request's conditions hold, and tells so.
func (s *store) publish(w http.ResponseWriter, r *http.Request, b *bucket, key string, o *object) bool {
	s.lock.Lock()
	old := b.objects[key]
	status, code := refused(r, old)
	if status == 0 {
		b.insert(key, o)
	}
	s.lock.Unlock()
	if status != 0 {
		fail(w, r, status, code)
		return false
	}
	s.forget(old)
	return true
}

func storedHeaders(r *http.Request) map[string]string {
	headers := map[string]string{"Content-Type": "binary/octet-stream"}
	for name, values := range r.Header {
		switch {
		case strings.HasPrefix(name, "X-Amz-Meta-"), name == "Content-Type", name == "Cache-Control", name == "Content-Disposition":
			headers[name] = values[0]
		}
	}
	return headers
}

// rangeOf reads "bytes=a-b", "bytes=a-" and "bytes=-n". ok is false when nothing of the object is in it.
func rangeOf(text string, size int64) (offset, length int64, ok bool) {
	from, to, found := strings.Cut(strings.TrimPrefix(text, "bytes="), "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	switch {
	case !found || (err1 != nil && err2 != nil):
		return 0, 0, false
	case err1 != nil:
		first, last = size-last, size-1
		if first < 0 {
			first = 0
		}
	case err2 != nil || last >= size:
		last = size - 1
	}
	return first, last - first + 1, first < size && first <= last
}

func (s *store) get(w http.ResponseWriter, r *http.Request, o *object) {
	if o == nil {
		fail(w, r, http.StatusNotFound, "NoSuchKey")
		return
	}
	if condition := r.Header.Get("If-Match"); condition != "" && !matches(condition, o.etag) {
		fail(w, r, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	if condition := r.Header.Get("If-None-Match"); condition != "" && matches(condition, o.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	offset, length, status := int64(0), o.size, http.StatusOK
	if text := r.Header.Get("Range"); text != "" {
		var ok bool
		if offset, length, ok = rangeOf(text, o.size); !ok {
			fail(w, r, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, o.size))
	}
	for name, value := range o.headers {
		w.Header().Set(name, value)
	}
	w.Header().Set("ETag", o.etag)
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Last-Modified", o.modified.Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(status)
	if r.Method == "HEAD" {
		return
	}
	for _, p := range o.slice(offset, length) {
		if p.writeTo(w, 0, p.length) != nil {
			return
		}
	}
}

func (s *store) put(w http.ResponseWriter, r *http.Request, b *bucket, key string) {
	p, err := s.readBody(r)
	if err != nil {
		failInternal(w, r, err)
		return
	}
	o := s.newObject([]piece{p}, storedHeaders(r))
	if s.publish(w, r, b, key, o) {
		w.Header().Set("ETag", o.etag)
	}
}

// readBody takes in what a PUT carries; the SDKs' chunks with signatures and trailers are unwrapped.
func (s *store) readBody(r *http.Request) (piece, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return s.readPiece(r.Body, r.ContentLength)
	}
	length, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil {
		return piece{}, err
	}
	return s.readPiece(&chunkReader{input: bufio.NewReaderSize(r.Body, 1<<16)}, length)
}

// chunkReader reads "SIZE;chunk-signature=...\r\n DATA \r\n" until a chunk of size 0, whose trailers it leaves.
type chunkReader struct {
	input *bufio.Reader
	left  int64
	begun bool
}

func (c *chunkReader) Read(buffer []byte) (int, error) {
	if c.left == 0 {
		if c.begun {
			c.input.Discard(2)
		}
		line, err := c.input.ReadString('\n')
		if err != nil {
			return 0, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		if c.left, err = strconv.ParseInt(size, 16, 64); err != nil {
			return 0, err
		}
		if c.begun = true; c.left == 0 {
			return 0, io.EOF
		}
	}
	if int64(len(buffer)) > c.left {
		buffer = buffer[:c.left]
	}
	n, err := c.input.Read(buffer)
	c.left -= int64(n)
	return n, err
}

// source finds what a copy copies: the object and, in it, the range.
func (s *store) source(w http.ResponseWriter, r *http.Request) (*object, int64, int64) {
	path, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), "/"), "?")
	path, _ = url.PathUnescape(path)
	name, key, _ := strings.Cut(path, "/")
	s.lock.RLock()
	var o *object
	if b := s.buckets[name]; b != nil {
		o = b.objects[key]
	}
	s.lock.RUnlock()
	if o == nil {
		fail(w, r, http.StatusNotFound, "NoSuchKey")
		return nil, 0, 0
	}
	if condition := r.Header.Get("X-Amz-Copy-Source-If-Match"); condition != "" && !matches(condition, o.etag) {
		fail(w, r, http.StatusPreconditionFailed, "PreconditionFailed")
		return nil, 0, 0
	}
	offset, length, ok := int64(0), o.size, true
	if text := r.Header.Get("X-Amz-Copy-Source-Range"); text != "" {
		if offset, length, ok = rangeOf(text, o.size); !ok {
			fail(w, r, http.StatusBadRequest, "InvalidRange")
			return nil, 0, 0
		}
	}
	return o, offset, length
}

func (s *store) copy(w http.ResponseWriter, r *http.Request, b *bucket, key string) {
	from, _, _ := s.source(w, r)
	if from == nil {
		return
	}
	headers := from.headers
	if r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
		headers = storedHeaders(r)
	}
	o := s.newObject(from.pieces, headers)
	if s.publish(w, r, b, key, o) {
		answer(w, "CopyObjectResult", "<LastModified>%s</LastModified><ETag>%s</ETag>", o.modified.Format("2006-01-02T15:04:05.000Z"), o.etag)
	}
}

func (s *store) part(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	number, err := strconv.Atoi(query.Get("partNumber"))
	if err != nil || number < 1 || number > 10000 {
		fail(w, r, http.StatusBadRequest, "InvalidArgument")
		return
	}
	var pieces []piece
	copied := r.Header.Get("X-Amz-Copy-Source") != ""
	if copied {
		from, offset, length := s.source(w, r)
		if from == nil {
			return
		}
		pieces = from.slice(offset, length)
	} else {
		p, err := s.readBody(r)
		if err != nil {
			failInternal(w, r, err)
			return
		}
		pieces = []piece{p}
	}
	o := s.newObject(pieces, nil)
	s.lock.Lock()
	u := s.uploads[query.Get("uploadId")]
	if u != nil {
		u.parts[number] = o
	}
	s.lock.Unlock()
	if u == nil {
		fail(w, r, http.StatusNotFound, "NoSuchUpload")
	} else if copied {
		answer(w, "CopyPartResult", "<LastModified>%s</LastModified><ETag>%s</ETag>", o.modified.Format("2006-01-02T15:04:05.000Z"), o.etag)
	} else {
		w.Header().Set("ETag", o.etag)
	}
}

func (s *store) complete(w http.ResponseWriter, r *http.Request, b *bucket, key string) {
	var wanted struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	id := r.URL.Query().Get("uploadId")
	if err := xml.NewDecoder(r.Body).Decode(&wanted); err != nil || len(wanted.Part) == 0 {
		fail(w, r, http.StatusBadRequest, "MalformedXML")
		return
	}
	s.lock.RLock()
	u := s.uploads[id]
	var pieces []piece
	whole := u != nil
	for _, part := range wanted.Part {
		if whole {
			o := u.parts[part.PartNumber]
			if whole = o != nil && matches(part.ETag, o.etag); whole {
				pieces = append(pieces, o.pieces...)
			}
		}
	}
	s.lock.RUnlock()
	if u == nil {
		fail(w, r, http.StatusNotFound, "NoSuchUpload")
		return
	}
	if !whole {
		fail(w, r, http.StatusBadRequest, "InvalidPart")
		return
	}
	o := s.newObject(pieces, u.headers)
	if s.publish(w, r, b, key, o) {
		s.lock.Lock()
		delete(s.uploads, id)
		s.lock.Unlock()
		answer(w, "CompleteMultipartUploadResult", "<Key>%s</Key><ETag>%s</ETag>", escape(key), o.etag)
	}
}
