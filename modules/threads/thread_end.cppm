// at_thread_end calls a function when the thread at hand ends: after the destructors of its thread_local variables, so
// that these may still use what the function is to clear away.
//
// It runs in the destructor of a POSIX thread key. The destructor of another key may still ask for a call, which
// follows in the system's next round of destructors; after the last round, of four or more, nothing is called. The main
// thread does not end, the process does: nothing is called then.
//
// What holds the function is not unloaded any more: a library that was opened by dlopen stays.
//
// Threads: any.
export module buffers.threads:thread_end;

export namespace buffers::detail {

/// A call to come. It lies in a thread_local variable that needs no destructor.
struct thread_end {
  void (*call)() noexcept;
  thread_end* next = nullptr;
  bool is_waiting = false;
};

/// Calls `end.call()` once, before the calls that were asked for earlier. Does nothing while the same is waiting.
/// Throws bad_alloc when the system is out of thread keys, or of memory for them; then nothing has happened.
void at_thread_end(thread_end& end);

}  // namespace buffers::detail
