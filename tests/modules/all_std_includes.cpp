// A program that includes large parts of the standard library before the import.
#include <algorithm>
#include <any>
#include <array>
#include <atomic>
#include <bitset>
#include <charconv>
#include <chrono>
#include <complex>
#include <concepts>
#include <condition_variable>
#include <deque>
#include <exception>
#include <expected>
#include <filesystem>
#include <format>
#include <forward_list>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <list>
#include <map>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <numeric>
#include <optional>
#include <queue>
#include <random>
#include <ranges>
#include <regex>
#include <set>
#include <shared_mutex>
#include <span>
#include <sstream>
#include <stack>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <valarray>
#include <variant>
#include <vector>
import buffers;

int with_all_includes() {
  buffers::pool_resource pool;
  std::pmr::map<std::pmr::string, std::pmr::vector<int>> words{&pool};
  words["a string that is too long for the small-string optimisation"].push_back(3);
  int sum = 0;
  for (const auto& [word, numbers] : words) sum += std::accumulate(numbers.begin(), numbers.end(), 0);
  return sum;
}
