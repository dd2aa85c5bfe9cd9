// print_programs FILE: runs programs under print_usage and writes what it prints, with the numbers that have to come
// out, into a program of its own: the next test compiles and runs that.
#include <algorithm>
#include <cstddef>
#include <fstream>
#include <mdspan>
#include <memory_resource>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>
import buffers;
#include "usage/random_program.hpp"

namespace {

struct particle {
  double x, y, z;
  int id;
};

/// Blocks that outlive a scope of another buffer, checkpoints, elements of a type of ours, growth in place, containers.
constexpr auto everything = [](auto& first, auto& second) {
  const auto a = buffers::alloc<particle>(first, 3, 5);
  const auto moment = first.checkpoint();
  {
    buffers::scope inner{first};
    const auto b = buffers::alloc<float, std::layout_left>(second, buffers::alignment{64}, 7, 7);
    (void)buffers::alloc<bool>(first, 1000);
    {
      buffers::scope innermost{second};
      (void)buffers::alloc_bytes(second, 77);
    }
    (void)buffers::alloc<long double>(first);
    b[0, 0] = 1;
    for (int i = 0; i < 100; ++i) {
      void* const grown = second.allocate(10, 1);
      if (second.try_expand(grown, 10, 100)) second.shrink(grown, 100, 50);
      second.deallocate(grown, 50, 1);
    }
    buffers::drop(second, b);
  }
  (void)buffers::alloc<char>(first, 0, 3);
  first.restore(moment);
  buffers::drop(first, a);
  second.reset();
  (void)buffers::reshape_buffer_at<particle>(second, 10, 10);
  (void)buffers::reshape_buffer<short>(second, 10);
  second.release();
};

constexpr auto containers = [](std::pmr::memory_resource& memory) {
  std::pmr::vector<std::pmr::string> words{&memory};
  for (int i = 0; i < 40; ++i) words.emplace_back(static_cast<std::size_t>(i) * 3, 'x');
};

// What a slab_resource takes, and a buffer of one piece does not: it is empty when its blocks have gone in any order...
constexpr auto reshape_after_a_slab_of_its_own = [](auto& buffer) {
  void* const small = buffer.allocate(100);
  void* const large = buffer.allocate(std::size_t{1} << 21);
  buffer.deallocate(small, 100);
  buffer.deallocate(large, std::size_t{1} << 21);
  (void)buffers::reshape_buffer<int>(buffer, 10);
};
// ... and a block grows that is not the newest.
constexpr auto grow_before_a_slab_of_its_own = [](auto& buffer) {
  for (int i = 0; i < 3; ++i) {
    buffers::scope inner{buffer};
    const auto small = buffers::alloc<char>(buffer, 100);
    const auto large = buffers::alloc<char>(buffer, std::size_t{1} << 21);
    const bool has_grown = buffer.try_expand(small.data_handle(), 100, 5000);
    buffers::drop(buffer, std::span(small.data_handle(), has_grown ? 5000 : 100));
    buffers::drop(buffer, large);
  }
};

}  // namespace

int main(int, char** arguments) {
  std::ofstream out(arguments[1]);
  std::string checks;
  int number = 0;
  const auto begin = [&] { out << "namespace program" << ++number << " {\n"; };
  const auto check = [&](const std::string& member, std::size_t bytes) {
    const std::string call = "program" + std::to_string(number) + "::bytes_needed()" + member;
    checks += "  static_assert(" + call + " == " + std::to_string(bytes) + ");\n";
    checks += "  if (" + call + " != " + std::to_string(bytes) + ") return 1;\n";
  };
  out << "import buffers;\n\n";

  {
    begin();
    buffers::slab_resource first, second;
    buffers::print_usage(out, everything, first, second);
    buffers::dry_run dry1, dry2;
    everything(dry1, dry2);
    check(".buffer1", dry1.peak());
    check(".buffer2", dry2.peak());
    out << "}\n";
  }
  {
    begin();
    buffers::bump_resource buffer{1 << 20};
    buffers::print_usage(out, containers, buffer);
    check("", buffer.peak());
    out << "}\n";
  }
  {
    begin();
    buffers::slab_resource buffer;
    buffers::print_usage(out, [](buffers::slab_resource& b) { (void)b.allocate(123); }, buffer);
    check("", 123);
    out << "}\n";
  }
  {
    begin();
    buffers::slab_resource buffer;
    buffers::print_usage(out, reshape_after_a_slab_of_its_own, buffer);
    check("", 112 + (1 << 21));
    out << "}\n";
  }
  {
    begin();
    buffers::slab_resource buffer;
    buffers::print_usage(out, grow_before_a_slab_of_its_own, buffer);
    check("", 112 + (1 << 21) + 5000);
    out << "}\n";
  }
  for (unsigned seed = 1; seed <= 20; ++seed) {
    begin();
    const random_program f(seed, 6);
    buffers::bump_resource buffer{1 << 20};
    buffers::print_usage(out, f, buffer);
    check("", buffer.peak());
    out << "}\n";
  }
  for (unsigned seed = 1; seed <= 12; ++seed) {
    begin();
    const random_program f(seed, 6);
    buffers::slab_resource buffer{{.first_slab = 256, .largest_slab = 1024}};
    std::ostringstream printed;
    buffers::print_usage(printed, f, buffer);
    std::string comment, slashes, name;
    std::size_t bytes = 0;
    std::istringstream lines(printed.str());
    std::getline(lines, comment);
    lines >> slashes >> name >> bytes;  // "//   buffer   123   (a slab_resource..."
    out << printed.str();
    check("", bytes);
    out << "}\n";
  }
  out << "\nint main() {\n" << checks << "}\n";
  return out ? 0 : 1;
}
