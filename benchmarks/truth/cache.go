package main

import (
	"container/list"
	"strconv"
	"sync"
)

type entry struct {
	key   string
	value []byte
}

// cache is a cache of 12,000 entries, least recently used first out, that two
// goroutines ask for keys of which some are hot.
func cache() {
	var mu sync.Mutex
	order, at := list.New(), map[string]*list.Element{}
	get := func(key string, size int) int {
		mu.Lock()
		defer mu.Unlock()
		if e, ok := at[key]; ok {
			order.MoveToFront(e)
			return len(e.Value.(*entry).value)
		}
		value := make([]byte, size)
		at[key] = order.PushFront(&entry{key, value})
		if order.Len() > 12000 {
			last := order.Remove(order.Back()).(*entry)
			delete(at, last.key)
		}
		return size
	}
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			r := random(g)
			for range 150000 {
				key := r.next(60000)
				if r.next(4) == 0 {
					key = r.next(2000)
				}
				get("key:"+strconv.Itoa(key), 64+key%1000)
			}
		})
	}
	wg.Wait()
}
