package main

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func init() {
	producers["go-zap"] = func() { zapLines(zap.NewProductionConfig()) }
	producers["go-zap-iso"] = func() {
		config := zap.NewProductionConfig()
		config.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
		config.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
		config.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
		zapLines(config)
	}
	producers["go-zap-console"] = func() { zapLines(zap.NewDevelopmentConfig()) }
}

func zapLines(config zap.Config) {
	config.OutputPaths = []string{"stdout"}
	log, err := config.Build()
	if err != nil {
		panic(err)
	}
	log.Info("listening", zap.String("addr", "127.0.0.1:8080"))
	tick()
	order := log.Named("order").With(zap.String("trace_id", traceID), zap.String("span_id", spanID))
	order.Info("order placed", zap.Int("items", 3), zap.Float64("total", 41.5), zap.Duration("elapsed", 12500*time.Microsecond))
	tick()
	order.Warn("slow \"payment\" 付款", zap.Any("tags", map[string]any{"vip": true, "shops": []int{1, 2}}))
	tick()
	order.Error("payment failed", zap.Error(errDeclined))
	tick()
	log.DPanic("should not be")
}
