package main

import (
	"os"
	"time"

	"github.com/rs/zerolog"
)

func init() {
	producers["go-zerolog"] = func() {
		log := zerolog.New(os.Stdout).With().Timestamp().Logger()
		log.Info().Str("addr", ":8080").Msg("listening")
		tick()
		order := log.With().Str("trace_id", traceID).Str("span_id", spanID).Logger()
		order.Info().Int("items", 3).Dur("elapsed", 12500*time.Microsecond).Msg("order placed")
		tick()
		order.Warn().Caller().Msg("slow 付款")
		tick()
		order.Error().Err(errDeclined).Msg("payment failed")
		tick()
		zerolog.TimeFieldFormat = zerolog.TimeFormatUnixMs
		log.Debug().Bool("cached", false).Strs("keys", []string{"a", "b"}).Send()
		log.Log().Msg("no level")
	}
}
