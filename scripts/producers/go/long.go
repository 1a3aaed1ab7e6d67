package main

import (
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// A line that container runtimes cut at 16 KiB, between short ones.
func init() {
	producers["go-long"] = func() {
		zerolog.TimeFieldFormat = time.RFC3339Nano
		log := zerolog.New(os.Stdout).With().Timestamp().Logger()
		log.Info().Msg("before")
		tick()
		log.Warn().Str("trace_id", traceID).Str("items", strings.Repeat("tea 茶, ", 4100)).Msg("long")
		tick()
		log.Info().Msg("after")
	}
}
