"""Training programs that preflight is to judge: one base task a file, its faulty mutants and its healthy variants."""
