package main

import (
	"os"

	"github.com/sirupsen/logrus"
)

func init() {
	producers["go-logrus-json"] = func() { logrusLines(&logrus.JSONFormatter{}) }
	producers["go-logrus-text"] = func() { logrusLines(&logrus.TextFormatter{DisableColors: true}) }
}

func logrusLines(formatter logrus.Formatter) {
	log := logrus.New()
	log.SetOutput(os.Stdout)
	log.SetFormatter(formatter)
	log.SetLevel(logrus.TraceLevel)
	log.Info("listening")
	tick()
	order := log.WithFields(logrus.Fields{"trace_id": traceID, "span_id": spanID, "items": 3})
	order.Info("order placed")
	tick()
	order.WithField("note", "say \"hi\"\nthen go").Warn("slow 付款")
	tick()
	order.WithError(errDeclined).Error("payment failed")
	tick()
	log.Trace("deep")
	tick()
	log.WithField("empty", "").Debug("path=/cart took=3ms")
}
