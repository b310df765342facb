/* Calls the library, so that a linker has to find everything that it needs. */
int emberkv_no_std_sessions(void);

int main(void) { return emberkv_no_std_sessions(); }
