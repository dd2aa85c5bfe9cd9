// Standard containers that are built and destroyed on a resource.
#pragma once
#include <cstdint>
#include <list>
#include <map>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <vector>

#include "driver.h"

namespace bench::containers {

inline constexpr std::uint32_t elements = 100'000;

inline void build_unordered_map(std::pmr::memory_resource* memory) {
  std::pmr::unordered_map<std::uint64_t, std::uint64_t> map{memory};
  for (std::uint64_t i = 0; i < elements; ++i) map.emplace(i * 0x9e3779b97f4a7c15, i);
  bench::use(map.size());
}
inline void build_map(std::pmr::memory_resource* memory) {
  std::pmr::map<std::uint64_t, std::uint64_t> map{memory};
  for (std::uint64_t i = 0; i < elements; ++i) map.emplace(i * 0x9e3779b97f4a7c15, i);
  bench::use(map.size());
}
inline void build_list(std::pmr::memory_resource* memory) {
  std::pmr::list<std::uint64_t> list{memory};
  for (std::uint64_t i = 0; i < elements; ++i) list.push_back(i);
  bench::use(list.size());
}
inline void build_strings(std::pmr::memory_resource* memory) {
  std::pmr::vector<std::pmr::string> strings{memory};
  for (std::uint32_t i = 0; i < elements; ++i) strings.emplace_back("a string that is on the heap in every library");
  bench::use(strings.size());
}

}  // namespace bench::containers
