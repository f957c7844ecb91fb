package main

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

type listing struct {
	bucket                   string
	prefix, delimiter, after string
	limit                    int
	version2, encoded        bool
}

// list answers ListObjects in both versions.
func (s *store) list(w http.ResponseWriter, r *http.Request, name string) {
	query := r.URL.Query()
	l := listing{bucket: name, prefix: query.Get("prefix"), delimiter: query.Get("delimiter"), limit: 1000,
		version2: query.Get("list-type") == "2", encoded: query.Get("encoding-type") == "url"}
	if l.version2 {
		l.after = query.Get("start-after")
		if token := query.Get("continuation-token"); token != "" {
			l.after = token
		}
	} else {
		l.after = query.Get("marker")
	}
	if limit, err := strconv.Atoi(query.Get("max-keys")); err == nil && limit >= 0 && limit < l.limit {
		l.limit = limit
	}
	s.lock.RLock()
	b := s.buckets[name]
	if b == nil {
		s.lock.RUnlock()
		fail(w, r, http.StatusNotFound, "NoSuchBucket")
		return
	}
	document := l.document(b)
	s.lock.RUnlock()
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(document.Len()))
	w.Write(document.Bytes())
}

func (l *listing) text(key string) string {
	if l.encoded {
		return strings.ReplaceAll(url.QueryEscape(key), "+", "%20")
	}
	return escape(key)
}

func escape(text string) string {
	if !strings.ContainsAny(text, "<>&\"'\r\n\t") {
		return text
	}
	var buffer bytes.Buffer
	xml.EscapeText(&buffer, []byte(text))
	return buffer.String()
}

func element(out *bytes.Buffer, name, text string) {
	out.WriteString("<" + name + ">" + text + "</" + name + ">")
}

// successor is the first string that does not begin with prefix and is greater.
func successor(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

func (l *listing) document(b *bucket) *bytes.Buffer {
	var body, folders bytes.Buffer
	count, last, truncated := 0, "", false
	i := sort.SearchStrings(b.keys, l.prefix)
	if l.after >= l.prefix {
		i = sort.SearchStrings(b.keys, l.after+"\x00")
		// A page may have ended with a folder; what is below it has been told.
		if at := l.folder(l.after); at != "" && at == l.after {
			i = sort.SearchStrings(b.keys, successor(at))
		}
	}
	for i < len(b.keys) && strings.HasPrefix(b.keys[i], l.prefix) {
		if count == l.limit {
			truncated = l.limit > 0
			break
		}
		key := b.keys[i]
		if folder := l.folder(key); folder != "" {
			folders.WriteString("<CommonPrefixes><Prefix>" + l.text(folder) + "</Prefix></CommonPrefixes>")
			last = folder
			i = sort.SearchStrings(b.keys, successor(folder))
		} else {
			o := b.objects[key]
			body.WriteString("<Contents><Key>" + l.text(key) + "</Key><LastModified>")
			body.WriteString(o.modified.Format("2006-01-02T15:04:05.000Z"))
			body.WriteString("</LastModified><ETag>" + o.etag + "</ETag><Size>" + strconv.FormatInt(o.size, 10))
			body.WriteString("</Size><StorageClass>STANDARD</StorageClass></Contents>")
			last = key
			i++
		}
		count++
	}
	var out bytes.Buffer
	out.Grow(body.Len() + folders.Len() + 1024)
	out.WriteString(xml.Header + `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	element(&out, "Name", l.bucket)
	element(&out, "Prefix", l.text(l.prefix))
	element(&out, "MaxKeys", strconv.Itoa(l.limit))
	if l.delimiter != "" {
		element(&out, "Delimiter", l.text(l.delimiter))
	}
	if l.encoded {
		element(&out, "EncodingType", "url")
	}
	element(&out, "IsTruncated", strconv.FormatBool(truncated))
	if l.version2 {
		element(&out, "KeyCount", strconv.Itoa(count))
		if truncated {
			element(&out, "NextContinuationToken", escape(last))
		}
	} else {
		element(&out, "Marker", l.text(l.after))
		if truncated {
			element(&out, "NextMarker", l.text(last))
		}
	}
	out.Write(body.Bytes())
	out.Write(folders.Bytes())
	out.WriteString("</ListBucketResult>")
	return &out
}

// folder is the common prefix that stands for key, or nothing.
func (l *listing) folder(key string) string {
	if l.delimiter == "" || !strings.HasPrefix(key, l.prefix) {
		return ""
	}
	rest := key[len(l.prefix):]
	if at := strings.Index(rest, l.delimiter); at >= 0 {
		return l.prefix + rest[:at+len(l.delimiter)]
	}
	return ""
}
