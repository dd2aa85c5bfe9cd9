// Checks for where Boost.Test's own do not serve: they are for one thread at a time, and a fuzzer has none.
#pragma once
#include <source_location>
#include <stdexcept>
#include <string>

/// Throws a std::logic_error that says where.
inline void require(bool holds, std::source_location at = std::source_location::current()) {
  if (!holds)
    throw std::logic_error("the check in line " + std::to_string(at.line()) + " of " + at.file_name() +
                           " does not hold");
}

/// That f throws an Error. What else it throws passes.
template <class Error, class F>
void require_throws(F f, std::source_location at = std::source_location::current()) {
  try {
    f();
  } catch (const Error&) {
    return;
  }
  require(false, at);
}
