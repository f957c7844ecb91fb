package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// No bucket can have this name.
const controlPrefix = "/-/"

// control is the part that a benchmark talks to:
//
//	GET  /-/stats            {"requests": {"GetObject": 3, ...}, "received": BYTES, "sent": BYTES}
//	POST /-/reset            sets all counters to 0
//	POST /-/latency?ms=10    what is added to every request from now on, before it is looked at
//	POST /-/fill?bucket=b&count=10&size=64&name=f%2506d
//	                         makes objects named by a printf format without sending them
//	GET  /-/size?bucket=b&key=k      the size of an object, -1 when there is none
//	GET  /-/count?bucket=b           how many objects there are
//	POST /-/clear?bucket=b           removes all objects, and makes the bucket if it is missing
//
// The last four have no meaning with -proxy.
var control = &controller{requests: map[string]int64{}}

type controller struct {
	store    *store
	latency  atomic.Int64
	received atomic.Int64
	sent     atomic.Int64
	lock     sync.Mutex
	requests map[string]int64
}

func (c *controller) setLatency(milliseconds int64) {
	c.latency.Store(milliseconds * int64(time.Millisecond))
}
func (c *controller) delay() time.Duration { return time.Duration(c.latency.Load()) }

func (c *controller) count(kind string) {
	c.lock.Lock()
	c.requests[kind]++
	c.lock.Unlock()
}

func (c *controller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	number := func(name string) int64 {
		value, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil || value < 0 {
			return -1
		}
		return value
	}
	operation := r.Method + " " + r.URL.Path[len(controlPrefix):]
	switch operation {
	case "GET stats":
		c.lock.Lock()
		defer c.lock.Unlock()
		json.NewEncoder(w).Encode(map[string]any{
			"requests": c.requests, "received": c.received.Load(), "sent": c.sent.Load()})
	case "POST reset":
		c.lock.Lock()
		defer c.lock.Unlock()
		c.requests = map[string]int64{}
		c.received.Store(0)
		c.sent.Store(0)
	case "POST latency":
		if number("ms") < 0 {
			http.Error(w, "ms must be a number", http.StatusBadRequest)
			return
		}
		c.setLatency(number("ms"))
	case "GET size", "GET count", "POST clear", "POST fill":
		if c.store == nil || query.Get("bucket") == "" {
			http.Error(w, "needs a bucket, and no -proxy", http.StatusBadRequest)
			return
		}
		switch operation {
		case "GET size":
			fmt.Fprintln(w, c.store.sizeOf(query.Get("bucket"), query.Get("key")))
		case "GET count":
			fmt.Fprintln(w, c.store.count(query.Get("bucket")))
		case "POST clear":
			c.store.clear(query.Get("bucket"))
		case "POST fill":
			if query.Get("name") == "" || number("count") < 0 || number("size") < 0 {
				http.Error(w, "needs name, count and size", http.StatusBadRequest)
			} else if err := c.store.fill(query.Get("bucket"), query.Get("name"), int(number("count")), number("size")); err != nil {
				http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
			}
		}
	default:
		http.NotFound(w, r)
	}
}
