// Checks that all that a program prints has been written.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <print>

/// The exit code of a program that has printed all it has to: 1 instead where that could not be written.
[[nodiscard]] inline int end_of_output(int exit_code) {
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return exit_code;
  std::println(stderr, "the output cannot be written");
  return EXIT_FAILURE;
}
