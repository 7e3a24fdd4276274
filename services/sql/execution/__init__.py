"""Running checked statements on people's databases: connections, results as they come, short trials."""
