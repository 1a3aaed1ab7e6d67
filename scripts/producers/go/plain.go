package main

import (
	"flag"
	"log"
	"os"

	"github.com/go-kit/log/level"

	kitlog "github.com/go-kit/log"
	"k8s.io/klog/v2"
)

func init() {
	producers["go-log"] = func() {
		log.SetFlags(log.LstdFlags)
		logLines()
		log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.Lshortfile)
		logLines()
		log.SetFlags(log.LstdFlags | log.Llongfile | log.Lmsgprefix)
		log.SetPrefix("shop: ")
		logLines()
	}
	producers["go-kit"] = func() {
		logger := kitlog.NewLogfmtLogger(kitlog.NewSyncWriter(os.Stdout))
		logger = kitlog.With(logger, "ts", kitlog.DefaultTimestampUTC, "caller", kitlog.DefaultCaller)
		level.Info(logger).Log("msg", "listening", "addr", "127.0.0.1:8080")
		tick()
		level.Info(logger).Log("msg", "order placed", "trace_id", traceID, "span_id", spanID, "items", 3, "duration", "12.5ms")
		tick()
		level.Warn(logger).Log("msg", "slow \"payment\" 付款", "empty", "", "ok", true)
		tick()
		level.Error(logger).Log("msg", "payment failed", "err", errDeclined)
	}
	producers["go-klog"] = func() {
		flags := flag.NewFlagSet("klog", flag.ContinueOnError)
		klog.InitFlags(flags)
		_ = flags.Parse([]string{"-logtostderr=false", "-alsologtostderr=false", "-stderrthreshold=FATAL", "-one_output=true"})
		klog.SetOutput(os.Stdout)
		klog.Info("listening on :8080")
		tick()
		klog.InfoS("Order placed", "order", klog.KRef("shop", "order-17"), "items", 3, "traceID", traceID, "spanID", spanID)
		tick()
		klog.Warningf("slow payment: %dms", 250)
		tick()
		klog.ErrorS(errDeclined, "Payment failed", "order", 17, "note", "two\nlines")
		tick()
		klog.Error("first line\nsecond line")
		klog.Flush()
	}
}

func logLines() {
	log.Print("listening on :8080")
	tick()
	log.Printf("order %d placed\n  with %d items", 17, 3)
	tick()
	log.Print("ERROR payment failed: ", errDeclined)
	tick()
}
