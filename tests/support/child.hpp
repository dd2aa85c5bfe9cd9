// Runs code that is to die in a child process, and says how it ended.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>

/// Whether AddressSanitizer watches the tests, and whether ThreadSanitizer does.
inline constexpr bool sanitized = std::string_view(BUFFERS_TESTS_SANITIZER).contains("address");
inline constexpr bool thread_sanitized = std::string_view(BUFFERS_TESTS_SANITIZER).contains("thread");

/// Whether a child process may start threads: ThreadSanitizer ends one that does.
inline constexpr bool children_may_start_threads = !thread_sanitized;

/// Whether the library checks its preconditions.
inline constexpr bool hardened = BUFFERS_HARDENED;

struct child {
  int status = 0;
  std::string errors;  // what it wrote to stderr

  bool survived() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  /// Ended by abort(), after saying `message`.
  bool aborted(std::string_view message) const {
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && errors.contains(message);
  }
  /// Ended by touching memory that may not be touched.
  bool segfaulted() const { return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV; }
  /// Ended by AddressSanitizer, which said `message`.
  bool reported(std::string_view message) const {
    return !survived() && errors.contains("AddressSanitizer") && errors.contains(message);
  }

  friend std::ostream& operator<<(std::ostream& os, const child& c) {
    return os << "status " << c.status << ", stderr: " << c.errors;
  }
};

template <class F>
child run_in_child(F&& f) {
  int ends[2];
  child result;
  if (pipe(ends) != 0) return {-1, "no pipe"};
  const pid_t id = fork();
  if (id == 0) {
    close(ends[0]);
    dup2(ends[1], STDERR_FILENO);
    for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, SIG_DFL);  // not Boost's
    f();
    _exit(0);
  }
  close(ends[1]);
  char text[4096];
  for (ssize_t got; (got = read(ends[0], text, sizeof text)) > 0;) result.errors.append(text, static_cast<size_t>(got));
  close(ends[0]);
  waitpid(id, &result.status, 0);
  return result;
}

/// Reads a byte so that the compiler cannot leave it out.
inline void touch(const void* byte) { static_cast<void>(*static_cast<const volatile unsigned char*>(byte)); }
