// Command pause does nothing until it is told to end, and reaps what others leave behind.
//
// It has two jobs with one nature: the container that holds a pod's namespaces open (as an image of its own, with
// nothing else in it), and process 1 of a node's PID namespace, whose death takes everything in that namespace along.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT)
	for {
		// Reap before waiting: a child that ended before Notify would otherwise stay a zombie until the next one ends.
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		if received := <-signals; received != syscall.SIGCHLD {
			os.Exit(0)
		}
	}
}
