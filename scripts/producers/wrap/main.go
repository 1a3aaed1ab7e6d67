// Puts standard input through the log driver of a container runtime, as the runtime does with a container's output:
// `wrap docker|cri stdout|stderr FILE`. FILE is appended to.
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	crio "github.com/containerd/containerd/pkg/cri/io"
	"github.com/docker/docker/daemon/logger"
	"github.com/docker/docker/daemon/logger/jsonfilelog"
)

// containerd's max_container_log_line_size, and Docker's defaultBufSize.
const lineBytes = 16 * 1024

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: wrap docker|cri stdout|stderr FILE")
		os.Exit(2)
	}
	runtime, stream, path := os.Args[1], os.Args[2], os.Args[3]
	var err error
	switch runtime {
	case "docker":
		err = docker(stream, path)
	case "cri":
		err = cri(stream, path)
	default:
		err = fmt.Errorf("no such runtime: %s", runtime)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func docker(stream, path string) error {
	driver, err := jsonfilelog.New(logger.Info{LogPath: path, Config: map[string]string{}})
	if err != nil {
		return err
	}
	copier := logger.NewCopier(map[string]io.Reader{stream: os.Stdin}, driver)
	copier.Run()
	copier.Wait()
	return driver.Close()
}

func cri(stream, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	output, done := crio.NewCRILogger(path, file, crio.StreamType(stream), lineBytes)
	if _, err := io.Copy(output, os.Stdin); err != nil {
		return err
	}
	if err := output.Close(); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("the CRI logger did not finish")
	}
}
