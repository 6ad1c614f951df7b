// Programs that predictions are tried on: truth PROGRAM. Each allocates in a way of its
// own and does the same work in every run; see README.md.
package main

import (
	"fmt"
	"os"
)

var programs = map[string]func(){
	"batch": batch, "cache": cache, "json": jsonLoop, "pool": pool, "server": server,
	"stacks": stacks,
}

func main() {
	if len(os.Args) == 2 && programs[os.Args[1]] != nil {
		programs[os.Args[1]]()
		return
	}
	fmt.Fprintln(os.Stderr, "truth batch|cache|json|pool|server|stacks")
	os.Exit(2)
}

// random is a generator of numbers, the same in every run.
type random uint64

func (r *random) next(n int) int {
	*r = *r*6364136223846793005 + 1442695040888963407
	return int(uint64(*r) >> 33 % uint64(n))
}
