static int runX87(const char *name, struct record *records, size_t count) { (void)name;(void)records;(void)count; return 0; }
