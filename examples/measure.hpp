// Times functions against each other.
#pragma once
#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <vector>

/// Calls the functions in turn, `rounds` times over, and returns the median time of each in seconds: what disturbs the
/// machine for a while disturbs them all.
template <std::invocable... F>
std::array<double, sizeof...(F)> median_times(int rounds, F... functions) {
  const auto seconds = [](auto& function) {
    const auto start = std::chrono::steady_clock::now();
    function();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::array<std::vector<double>, sizeof...(F)> times;
  for (int round = 0; round < rounds; ++round) {
    std::size_t i = 0;
    (times[i++].push_back(seconds(functions)), ...);
  }
  std::array<double, sizeof...(F)> medians;
  std::ranges::transform(times, medians.begin(), [](std::vector<double>& series) {
    const auto middle = series.begin() + std::ssize(series) / 2;
    std::ranges::nth_element(series, middle);
    return *middle;
  });
  return medians;
}
