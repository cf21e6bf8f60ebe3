package server

import (
	"net/http"
	"slices"
)

// probes are the paths that tell whether the server lives, for Apicurio 2 and
// Kubernetes; they need no login. As in Apicurio, version 3 has those of
// /health at the management address alone.
var probes = []string{"/health", "/health/ready", "/health/live", "/healthz", "/readyz", "/livez"}

func isProbe(path string) bool { return slices.Contains(probes, path) }

type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

// up answers with the store's health.
func (h *handler) up(*http.Request) (answer, error) {
	out := struct {
		Status string  `json:"status"`
		Checks []check `json:"checks"`
	}{"UP", []check{{"Store", "UP"}}}
	// A read proves that the file is there.
	if err := h.store.view(func(t tx) error { return nil }); err != nil {
		out.Status, out.Checks[0].Status = "DOWN", "DOWN"
		return answer{json: out, status: http.StatusServiceUnavailable}, nil //nolint:nilerr // the answer tells
	}
	return asJSON(out)
}

func (h *handler) health(mux *http.ServeMux) {
	for _, p := range probes {
		if h.flavour == v33 && p[:4] == "/hea" && p != "/healthz" {
			continue
		}
		h.on(mux, apiV2, "", "GET "+p, h.up)
	}
	mux.Handle("GET /metrics", h.metrics.handler())
}

// management serves health and metrics alone.
func (h *handler) management() http.Handler {
	mux := http.NewServeMux()
	for _, p := range probes {
		h.on(mux, apiV2, "", "GET "+p, h.up)
	}
	mux.Handle("GET /metrics", h.metrics.handler())
	return mux
}
