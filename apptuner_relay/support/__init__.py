"""What any part may need: clocks, units, the version, and private names of libraries."""
