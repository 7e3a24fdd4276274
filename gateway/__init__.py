"""The gateway: Envoy's configuration, the descriptor set it transcodes with, and the OpenAPI document."""
