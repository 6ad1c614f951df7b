package main

// Dropped into a program's main package by goheap record (go build -overlay): it
// changes no line of the program. With GOHEAP_TRACE=file in the environment the
// execution trace goes to that file, from here to the program's end, os.Exit
// included. Settings and figures of the run lie in the trace itself, as logs of the
// category "goheap"; goheap reads them from there. With GOHEAP_STATS=file the figures
// at the end are written there as JSON, trace or not: to hold a prediction against.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/trace"
	"syscall"
	"time"
	_ "unsafe"
)

type goheapExitHook struct {
	F            func()
	RunOnFailure bool
}

//go:linkname goheapAddExitHook internal/runtime/exithook.Add
func goheapAddExitHook(h goheapExitHook)

type goheapMem struct {
	NumGC, NumForcedGC                                           uint32
	Mallocs, Frees, TotalAlloc, HeapAlloc, HeapSys, HeapInuse    uint64
	HeapIdle, HeapReleased, HeapObjects, StackInuse, Sys, NextGC uint64
	PauseTotalNs                                                 uint64
	GCCPUFraction                                                float64
}

func goheapRead() (m goheapMem) {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return goheapMem{s.NumGC, s.NumForcedGC, s.Mallocs, s.Frees, s.TotalAlloc, s.HeapAlloc,
		s.HeapSys, s.HeapInuse, s.HeapIdle, s.HeapReleased, s.HeapObjects, s.StackInuse,
		s.Sys, s.NextGC, s.PauseTotalNs, s.GCCPUFraction}
}

// goheapLog writes a value into the trace, in pieces: a string in it has at most 1 KiB.
func goheapLog(value any) {
	text, err := json.Marshal(value)
	for err == nil && len(text) > 0 {
		n := min(len(text), 1000)
		trace.Log(context.Background(), "goheap", string(text[:n]))
		text = text[n:]
	}
}

func goheapMetrics() map[string]float64 {
	names := []string{"/cpu/classes/gc/total:cpu-seconds",
		"/cpu/classes/gc/mark/assist:cpu-seconds",
		"/cpu/classes/gc/mark/dedicated:cpu-seconds",
		"/cpu/classes/gc/mark/idle:cpu-seconds", "/cpu/classes/gc/pause:cpu-seconds",
		"/cpu/classes/scavenge/total:cpu-seconds", "/cpu/classes/total:cpu-seconds",
		"/cpu/classes/user:cpu-seconds", "/cpu/classes/idle:cpu-seconds",
		"/gc/cycles/total:gc-cycles", "/gc/cycles/automatic:gc-cycles",
		"/gc/cycles/forced:gc-cycles", "/gc/heap/live:bytes", "/gc/heap/goal:bytes",
		"/gc/heap/tiny/allocs:objects", "/gc/heap/allocs:bytes",
		"/gc/heap/allocs:objects", "/gc/heap/frees:objects", "/gc/scan/globals:bytes",
		"/gc/scan/heap:bytes", "/gc/scan/stack:bytes", "/memory/classes/total:bytes",
		"/memory/classes/heap/released:bytes"}
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	values := map[string]float64{}
	for _, s := range samples {
		switch s.Value.Kind() {
		case metrics.KindFloat64:
			values[s.Name] = s.Value.Float64()
		case metrics.KindUint64:
			values[s.Name] = float64(s.Value.Uint64())
		}
	}
	return values
}

// goheapPeak is the peak of resident memory in KiB. What getrusage says is at least what
// the process that started this one had, because exec passes it on.
func goheapPeak(ru *syscall.Rusage) int64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, text, found := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(text), &kib); found && err == nil {
		return kib
	}
	return ru.Maxrss
}

func init() {
	path, stats := os.Getenv("GOHEAP_TRACE"), os.Getenv("GOHEAP_STATS")
	if path == "" && stats == "" {
		return
	}
	began, start := time.Now(), goheapRead()
	if path != "" {
		f, err := os.Create(path)
		if err == nil {
			err = trace.Start(f)
		}
		if err != nil {
			println("goheap:", err.Error())
			os.Exit(2)
		}
		goheapLog(map[string]any{"GoVersion": runtime.Version(), "GOGC": os.Getenv("GOGC"),
			"GOMEMLIMIT": os.Getenv("GOMEMLIMIT"), "GOMAXPROCS": runtime.GOMAXPROCS(0),
			"Start": start})
	}
	goheapAddExitHook(goheapExitHook{RunOnFailure: true, F: func() {
		wall, end := time.Since(began), goheapRead()
		var ru syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
		said := map[string]any{"WallNs": wall, "UserNs": ru.Utime.Nano(),
			"SysNs": ru.Stime.Nano(), "MaxRSSKiB": goheapPeak(&ru), "End": end,
			"Metrics": goheapMetrics()}
		if path != "" {
			goheapLog(said)
			trace.Stop()
		}
		if stats != "" {
			text, _ := json.Marshal(said)
			if err := os.WriteFile(stats, text, 0o666); err != nil {
				println("goheap:", err.Error())
			}
		}
	}})
}
