package main

import (
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const smallBytes = 64 << 10

// piece is a stretch of bytes that no one changes any more: in memory, or in a file that has no name. Copies share
// pieces; the collector closes the files that nothing uses.
type piece struct {
	memory []byte
	file   *os.File
	offset int64
	length int64
}

type object struct {
	pieces   []piece
	size     int64
	etag     string
	modified time.Time
	headers  map[string]string // x-amz-meta-*, Content-Type and their kin
}

type bucket struct {
	objects map[string]*object
	keys    []string // in byte order
}

type upload struct {
	headers map[string]string
	parts   map[int]*object
}

type store struct {
	data     string
	lock     sync.RWMutex // of buckets and uploads and all in them
	buckets  map[string]*bucket
	uploads  map[string]*upload
	sequence atomic.Int64
	released atomic.Int64 // bytes given up since the collector ran
}

func newStore(data string) *store {
	return &store{data: data, buckets: map[string]*bucket{}, uploads: map[string]*upload{}}
}

// newETag is not an MD5, and says so in the way of multi-part uploads.
func (s *store) newETag() string {
	return fmt.Sprintf("\"%016x%016x-1\"", time.Now().UnixNano(), s.sequence.Add(1))
}

func (s *store) newObject(pieces []piece, headers map[string]string) *object {
	o := &object{pieces: pieces, etag: s.newETag(), modified: time.Now().UTC(), headers: headers}
	for _, p := range pieces {
		o.size += p.length
	}
	return o
}

// newFile opens a file of s.data that is already without a name.
func (s *store) newFile() (*os.File, error) {
	file, err := os.CreateTemp(s.data, "s3server-")
	if err == nil {
		os.Remove(file.Name())
	}
	return file, err
}

// readPiece takes a body in: length bytes, or all there is when length is -1.
func (s *store) readPiece(body io.Reader, length int64) (piece, error) {
	if length >= 0 && length <= smallBytes {
		memory := make([]byte, length)
		_, err := io.ReadFull(body, memory)
		return piece{memory: memory, length: length}, err
	}
	file, err := s.newFile()
	if err != nil {
		return piece{}, err
	}
	buffer := buffers.Get()
	defer buffers.Put(buffer)
	var got int64
	for {
		n, failure := body.Read(buffer)
		if n > 0 {
			if _, err := file.Write(buffer[:n]); err != nil {
				return piece{}, err
			}
			got += int64(n)
		}
		if failure == io.EOF {
			break
		}
		if failure != nil {
			return piece{}, failure
		}
	}
	if length >= 0 && got != length {
		return piece{}, io.ErrUnexpectedEOF
	}
	return piece{file: file, length: got}, nil
}

// writeTo sends a part of a piece; files go through a descriptor of their own, because sendfile moves its position.
func (p piece) writeTo(w io.Writer, offset, length int64) error {
	if p.file == nil {
		_, err := w.Write(p.memory[p.offset+offset : p.offset+offset+length])
		return err
	}
	file, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", p.file.Fd()))
	runtime.KeepAlive(p.file)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(p.offset+offset, io.SeekStart); err != nil {
		return err
	}
	_, err = io.CopyN(w, file, length)
	return err
}

// slice gives the pieces of a range of an object.
func (o *object) slice(offset, length int64) []piece {
	var pieces []piece
	for _, p := range o.pieces {
		if offset < p.length && length > 0 {
			n := p.length - offset
			if n > length {
				n = length
			}
			pieces = append(pieces, piece{p.memory, p.file, p.offset + offset, n})
			offset, length = 0, length-n
		} else if length > 0 {
			offset -= p.length
		}
	}
	return pieces
}

// insert and remove expect the lock.
func (b *bucket) insert(key string, o *object) {
	if _, found := b.objects[key]; !found {
		i := sort.SearchStrings(b.keys, key)
		b.keys = append(b.keys, "")
		copy(b.keys[i+1:], b.keys[i:])
		b.keys[i] = key
	}
	b.objects[key] = o
}

func (b *bucket) remove(key string) {
	if _, found := b.objects[key]; found {
		delete(b.objects, key)
		i := sort.SearchStrings(b.keys, key)
		b.keys = append(b.keys[:i], b.keys[i+1:]...)
	}
}

// forget notes that bytes may have become free, and has them freed now and then.
func (s *store) forget(o *object) {
	if o != nil && s.released.Add(o.size) > 1<<30 {
		s.released.Store(0)
		go runtime.GC()
	}
}

func (s *store) fill(name, format string, count int, size int64) error {
	content := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(content)
	s.lock.Lock()
	defer s.lock.Unlock()
	b := s.buckets[name]
	if b == nil {
		b = &bucket{objects: map[string]*object{}}
		s.buckets[name] = b
	}
	for i := 0; i < count; i++ {
		var p piece
		if size <= smallBytes {
			p = piece{memory: content[:size], length: size}
		} else {
			file, err := s.newFile()
			if err != nil {
				return err
			}
			for left := size; left > 0; left -= int64(len(content)) {
				if left < int64(len(content)) {
					content = content[:left]
				}
				if _, err := file.Write(content); err != nil {
					return err
				}
			}
			content = content[:cap(content)]
			p = piece{file: file, length: size}
		}
		key := format
		if strings.Contains(format, "%") {
			key = fmt.Sprintf(format, i)
		}
		b.insert(key, s.newObject([]piece{p}, map[string]string{"Content-Type": "application/octet-stream"}))
	}
	return nil
}

func (s *store) sizeOf(name, key string) int64 {
	s.lock.RLock()
	defer s.lock.RUnlock()
	if b := s.buckets[name]; b != nil && b.objects[key] != nil {
		return b.objects[key].size
	}
	return -1
}

func (s *store) count(name string) int {
	s.lock.RLock()
	defer s.lock.RUnlock()
	if b := s.buckets[name]; b != nil {
		return len(b.keys)
	}
	return 0
}

func (s *store) clear(name string) {
	s.lock.Lock()
	s.buckets[name] = &bucket{objects: map[string]*object{}}
	s.lock.Unlock()
	s.released.Store(0)
	runtime.GC()
}

// fail answers with S3's error document.
func fail(w http.ResponseWriter, r *http.Request, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != "HEAD" {
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
	}
}

func failInternal(w http.ResponseWriter, r *http.Request, err error) {
	log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
	fail(w, r, http.StatusInternalServerError, "InternalError")
}
