"""The common store of a fleet, behind the service mcsd-fleet."""
