// s3server is an S3 endpoint that costs next to nothing, for measuring clients: it believes every signature, keeps its
// index and small objects in memory and the bytes of large ones in unlinked files (-data, a tmpfs).
//
//	s3server [-listen ADDRESS] [-data DIRECTORY] [-proxy URL] [-latency MILLISECONDS]
//
// It prints its own URL and serves until it is killed. With -proxy it keeps nothing and passes every request on to
// another endpoint, signature and all. In both forms it counts, and adds latency to every request; see control.go.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen at")
	data := flag.String("data", "/dev/shm", "directory for the bytes of large objects")
	proxy := flag.String("proxy", "", "URL of the endpoint to pass requests on to")
	latency := flag.Int64("latency", 0, "milliseconds to add to every request")
	flag.Parse()
	// The index is one large heap that hardly changes.
	debug.SetGCPercent(400)

	control.setLatency(*latency)
	var next http.Handler
	if *proxy != "" {
		next = newProxy(*proxy)
	} else {
		control.store = newStore(*data)
		next = control.store
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	os.Stdout.Close()
	log.Fatal(http.Serve(countingListener{listener}, front{next}))
}

// front counts and delays what is meant for S3, and answers what is meant for the control.
type front struct{ next http.Handler }

func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		control.ServeHTTP(w, r)
		return
	}
	control.count(kindOf(r))
	pause(control.delay())
	f.next.ServeHTTP(w, r)
}

// pause is exact to some tens of microseconds: time.Sleep wakes at the next whole millisecond when nothing else
// happens, which made 11 ms of 10.
func pause(delay time.Duration) {
	until := time.Now().Add(delay)
	for left := delay; left > 0; left = time.Until(until) {
		wait := syscall.NsecToTimespec(left.Nanoseconds())
		syscall.Nanosleep(&wait, nil)
	}
}

// kindOf names the S3 operation of a request.
func kindOf(r *http.Request) string {
	query := r.URL.Query()
	_, key := splitPath(r)
	has := func(name string) bool { _, found := query[name]; return found }
	copied := r.Header.Get("X-Amz-Copy-Source") != ""
	switch {
	case r.URL.Path == "/":
		return "ListBuckets"
	case key == "" && r.Method == "GET" && (has("location") || has("versioning") || has("uploads") || has("acl") || has("policy")):
		return "GetBucketProperty"
	case key == "" && r.Method == "GET":
		return "ListObjects"
	case key == "":
		return map[string]string{"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket", "POST": "DeleteObjects"}[r.Method]
	case has("uploads"):
		return "CreateMultipartUpload"
	case has("partNumber") && copied:
		return "UploadPartCopy"
	case has("partNumber"):
		return "UploadPart"
	case has("uploadId"):
		return map[string]string{"POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"}[r.Method]
	case copied:
		return "CopyObject"
	}
	return map[string]string{"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[r.Method]
}

// splitPath gives the bucket and the key of a request in path style.
func splitPath(r *http.Request) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return bucket, key
}

// countingListener makes connections count what crosses them, headers and all.
type countingListener struct{ net.Listener }

func (l countingListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConnection{TCPConn: connection.(*net.TCPConn)}, nil
}

type countingConnection struct{ *net.TCPConn }

func (c *countingConnection) Read(buffer []byte) (int, error) {
	n, err := c.TCPConn.Read(buffer)
	control.received.Add(int64(n))
	return n, err
}

func (c *countingConnection) Write(buffer []byte) (int, error) {
	n, err := c.TCPConn.Write(buffer)
	control.sent.Add(int64(n))
	return n, err
}

// ReadFrom is what net/http calls for files, and becomes sendfile(2).
func (c *countingConnection) ReadFrom(source io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(source)
	control.sent.Add(n)
	return n, err
}

// bufferPool holds the buffers that bodies go through.
type bufferPool struct{ pool sync.Pool }

var buffers = bufferPool{sync.Pool{New: func() any { return make([]byte, 1<<20) }}}

func (b *bufferPool) Get() []byte       { return b.pool.Get().([]byte) }
func (b *bufferPool) Put(buffer []byte) { b.pool.Put(buffer) } //nolint:staticcheck // one small allocation for a MiB

// newProxy passes requests on as they are, so that their signatures stay right: the host that was signed is ours.
func newProxy(target string) http.Handler {
	to, err := url.Parse(target)
	if err != nil || to.Host == "" {
		log.Fatalf("-proxy %s: not a URL", target)
	}
	return &httputil.ReverseProxy{
		Director: func(r *http.Request) {
			r.URL.Scheme, r.URL.Host = to.Scheme, to.Host
			r.Header["X-Forwarded-For"] = nil
			if _, given := r.Header["User-Agent"]; !given {
				r.Header.Set("User-Agent", "")
			}
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 512, IdleConnTimeout: time.Minute, DisableCompression: true,
			WriteBufferSize: 1 << 18, ReadBufferSize: 1 << 18},
		BufferPool: &buffers,
	}
}
