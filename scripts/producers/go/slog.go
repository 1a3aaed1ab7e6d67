package main

import (
	"context"
	"log/slog"
	"os"
	"time"
)

func init() {
	options := &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug - 4}
	producers["go-slog-json"] = func() { slogLines(slog.New(slog.NewJSONHandler(os.Stdout, options))) }
	producers["go-slog-text"] = func() { slogLines(slog.New(slog.NewTextHandler(os.Stdout, options))) }
	producers["go-slog-default"] = func() { slogLines(slog.Default()) }
}

func slogLines(log *slog.Logger) {
	log.Info("listening", "addr", ":8080")
	tick()
	order := log.With("trace_id", traceID, "span_id", spanID)
	order.Info("order placed", slog.Group("order", "id", 17, "items", 3, slog.Group("to", "city", "Köln")), "took", 12500*time.Microsecond)
	tick()
	order.Warn("slow payment", "why", "a \"cold\" cache", "at", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	tick()
	order.Error("payment failed", "error", errDeclined)
	tick()
	log.Log(context.Background(), slog.LevelInfo+2, "noticed")
	log.Debug("empty", "", "")
}
