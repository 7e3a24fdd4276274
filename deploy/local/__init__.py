"""One machine: supervises Envoy, Triton and the services, and builds the sample data."""
