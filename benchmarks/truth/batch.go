package main

import (
	"sort"
	"strconv"
	"strings"
)

type record struct {
	key    string
	fields []string
	sum    *int
}

// batch works off four batches of different sizes: reads records, groups them, keeps a
// digest of each batch and lets go of the rest.
func batch() {
	r := random(1)
	var digests []string
	for _, n := range []int{20000, 80000, 40000, 60000} {
		records := make([]*record, 0, 16)
		for i := range n {
			line := strconv.Itoa(r.next(n/4)) + "," + strconv.Itoa(i) + ",x,y"
			parts := strings.Split(line, ",")
			sum := i
			records = append(records, &record{parts[0], parts[1:], &sum})
		}
		groups := map[string][]*record{}
		for _, x := range records {
			groups[x.key] = append(groups[x.key], x)
		}
		records = nil
		keys := make([]string, 0, len(groups))
		for k := range groups {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			total := 0
			for _, x := range groups[k] {
				total += *x.sum
			}
			digests = append(digests, k+"="+strconv.Itoa(total))
		}
	}
	if len(digests) == 0 {
		panic("no digests")
	}
}
