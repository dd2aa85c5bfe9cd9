// What the tours have in common: headings, and results that are checked as they are shown.
#pragma once
#include <atomic>
#include <cstdlib>
#include <functional>
#include <print>
#include <source_location>
#include <string_view>
#include <thread>
#include <vector>

#include "output.hpp"

namespace tour {

inline std::atomic<int> failures = 0;

inline void heading(std::string_view text) { std::println("\n{}\n{:-<{}}", text, "", text.size()); }

/// Notes a result that is not as it has to be: the tour's exit code is then 1.
inline void check(bool as_expected, std::source_location where = std::source_location::current()) {
  if (as_expected) return;
  ++failures;
  std::println(stderr, "{}:{}: not as expected", where.file_name(), where.line());
}

/// Whether the call throws an Error, whose message is shown.
template <class Error>
bool throws(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    std::println("  {}", error.what());
    return true;
  }
  return false;
}

/// Calls the function on that many threads at once, with 0, 1, ...
inline void on_threads(int count, const std::function<void(int)>& function) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(function, i);
  for (std::thread& thread : threads) thread.join();
}

[[nodiscard]] inline int exit_code() { return end_of_output(failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE); }

}  // namespace tour
