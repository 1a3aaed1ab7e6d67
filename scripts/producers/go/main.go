// Writes the lines of one Go logger: `shop NAME`.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
)

var errDeclined = errors.New("card declined: \"no funds\"")

var producers = map[string]func(){}

func main() {
	if len(os.Args) != 2 || producers[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: shop NAME")
		os.Exit(2)
	}
	producers[os.Args[1]]()
}

// tick keeps the times of two lines apart.
func tick() { time.Sleep(7 * time.Millisecond) }
