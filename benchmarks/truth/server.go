package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// server is an HTTP server with a store of 20,000 strings, and eight clients of it that
// send and read JSON: 6,000 requests.
func server() {
	store := make([]string, 20000)
	for i := range store {
		store[i] = strings.Repeat("v", 20+i%200)
	}
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var ask struct{ Keys []int }
		if json.NewDecoder(q.Body).Decode(&ask) != nil {
			w.WriteHeader(400)
			return
		}
		answer := map[string]string{}
		mu.Lock()
		for _, k := range ask.Keys {
			answer[fmt.Sprint(k)] = store[k]
			store[k] = strings.Clone(store[k])
		}
		mu.Unlock()
		json.NewEncoder(w).Encode(answer)
	}))
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := random(g)
			for range 750 {
				keys := make([]int, 1+r.next(20))
				for i := range keys {
					keys[i] = r.next(len(store))
				}
				body, _ := json.Marshal(map[string]any{"Keys": keys})
				a, err := client.Post(s.URL, "application/json", strings.NewReader(string(body)))
				if err != nil {
					panic(err)
				}
				io.Copy(io.Discard, a.Body)
				a.Body.Close()
			}
		})
	}
	wg.Wait()
}
