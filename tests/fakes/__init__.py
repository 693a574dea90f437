"""Stand-ins and fixtures shared by the tests. Everything here is real, or a reference implementation; no mocks."""
