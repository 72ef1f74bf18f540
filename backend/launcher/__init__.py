"""What `./escrow` hands over to: starts, watches, tests and stops the whole platform. Nothing imports it."""
