// A check for the bodies of tasks: Boost.Test's own are for one thread at a time.
#pragma once
#include <stdexcept>

inline void require(bool holds) {
  if (!holds) throw std::logic_error("a check in a task does not hold");
}
