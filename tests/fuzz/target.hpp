// What makes a program a target of libFuzzer. Each target's file defines `play`.
//
// With BUFFERS_FUZZ_OPERATIONS=N in the environment, the process ends well after N operations.
#pragma once
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "programs/choices.hpp"

/// Plays a program by the choices; returns the number of operations.
std::size_t play(choices& from);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const char* const text = std::getenv("BUFFERS_FUZZ_OPERATIONS");
  static const std::size_t enough = text != nullptr ? std::strtoull(text, nullptr, 10) : SIZE_MAX;
  static std::size_t operations = 0, inputs = 0;
  choices from(std::span(data, size));
  operations += play(from);
  ++inputs;
  if (operations < enough) return 0;
  std::fprintf(stderr, "%zu operations in %zu programs\n", operations, inputs);
  std::fflush(stderr);
  _exit(0);  // libFuzzer takes exit() for a crash
}
