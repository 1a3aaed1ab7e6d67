package main

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
)

type cart struct{ items map[string]int }

func (c *cart) add(name string) { c.items[name]++ }

func init() {
	// The runtime writes a panic to standard error, where log.Print writes too.
	producers["go-panic"] = func() {
		log.Print("starting")
		var wait sync.WaitGroup
		block := make(chan int)
		wait.Add(1)
		go func() { wait.Done(); <-block }()
		wait.Wait()
		defer func() {
			panic(fmt.Errorf("while handling: %v", recover()))
		}()
		(&cart{}).add("tea")
	}
	producers["go-panic-nil"] = func() {
		log.Print("starting")
		var c *cart
		c.add("tea")
	}
	// net/http recovers a handler's panic and logs the stack.
	producers["go-http-panic"] = func() {
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { (&cart{}).add("tea") }))
		log.Print("listening")
		_, err := http.Get(server.URL)
		log.Print("client: ", err != nil)
		fmt.Fprintln(os.Stderr, "not a log line")
	}
}
