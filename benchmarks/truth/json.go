package main

import (
	"encoding/json"
	"fmt"
)

type item struct {
	ID    int               `json:"id"`
	Name  string            `json:"name"`
	Tags  []string          `json:"tags"`
	Attrs map[string]string `json:"attrs"`
	Next  *item             `json:"next,omitempty"`
}

// jsonLoop writes a document of 600 items and reads it again, 60 times, one after the
// other; it keeps the last three.
func jsonLoop() {
	var kept [3][]item
	items := make([]item, 600)
	for i := range items {
		items[i] = item{i, fmt.Sprintf("item %d", i), []string{"a", "bc", "def"},
			map[string]string{"color": "red", "size": fmt.Sprint(i)}, &item{ID: -i}}
	}
	for i := range 150 {
		text, err := json.Marshal(items)
		if err != nil {
			panic(err)
		}
		var read []item
		if err := json.Unmarshal(text, &read); err != nil {
			panic(err)
		}
		kept[i%3] = read
	}
}
