#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <mdspan>
#include <memory_resource>
#include <new>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;
#include "usage/random_program.hpp"

using buffers::alloc;
using buffers::bump_resource;
using buffers::drop;
using buffers::dry_run;
using buffers::print_usage;
using buffers::slab_resource;

namespace {

template <class F, class... Buffers>
std::string printed(const F& f, Buffers&... buffers) {
  std::ostringstream os;
  print_usage(os, f, buffers...);
  return os.str();
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
  return found;
}

// A resource of somebody else, whose checkpoints are never empty.
class own_stack : public std::pmr::memory_resource {
 public:
  struct mark {
    explicit mark(std::size_t t) : top(t) {}
    std::size_t top;
  };
  [[nodiscard]] mark checkpoint() const { return mark(top_); }
  void restore(const mark& cp) { top_ = cp.top; }
  [[nodiscard]] std::size_t used() const { return top_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    top_ = (top_ + 15) / 16 * 16 + bytes;
    return memory_ + top_ - bytes;
  }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::size_t top_ = 0;
  alignas(64) std::byte memory_[4096];
};

}  // namespace

BOOST_AUTO_TEST_SUITE(usage)

BOOST_AUTO_TEST_CASE(T11_prints_the_peak_and_the_program) {
  const auto f = [](auto& buffer) {
    const auto a = alloc<double>(buffer, 10, 10, 20);
    const auto b = alloc<double>(buffer, 10, 10, 10);
    const auto c = alloc<double>(buffer, 10, 20);
    a[0, 0, 0] = b[0, 0, 0] = c[0, 0] = 1;
    drop(buffer, b, c);
    buffer.reset();
  };
  const std::string expected = R"(// The bytes that the buffer needs, as seen by buffers::print_usage:
//   buffer           25600   (a bump_resource: peak 25600)
constexpr auto bytes_needed() {
  buffers::dry_run buffer;
  static_cast<void>(buffers::alloc<double>(buffer, 10, 10, 20));
  const auto view1 = buffers::alloc<double>(buffer, 10, 10, 10);
  const auto view2 = buffers::alloc<double>(buffer, 10, 20);
  buffers::drop(buffer, view1, view2);
  buffer.reset();
  return buffer.peak();
}
)";
  bump_resource buffer;
  BOOST_TEST(printed(f, buffer) == expected);
  dry_run dry;  // sized without being run
  BOOST_TEST(printed(f, dry).contains("//   buffer           25600   (a dry_run: peak 25600)"));
}

BOOST_AUTO_TEST_CASE(T12_two_buffers) {
  slab_resource first, second;
  const std::string text = printed(
      [](auto& buf1, auto& buf2) {
        const auto a = alloc<double>(buf1, 10, 10, 20);
        const auto b = alloc<double>(buf2, 20, 5);
        drop(buf1, a);
        drop(buf2, b);
      },
      first, second);
  BOOST_TEST(text.contains("//   buffer1          16000   (a slab_resource: peak 16000)\n"));
  BOOST_TEST(text.contains("//   buffer2            800   (a slab_resource: peak 800)\n"));
  BOOST_TEST(text.contains("  return bytes{buffer1.peak(), buffer2.peak()};\n"));
}

BOOST_AUTO_TEST_CASE(rounds_of_a_loop_are_one) {
  slab_resource buffer;
  const std::string text = printed(
      [](auto& b) {
        const auto kept = alloc<int>(b, 100);
        for (int i = 0; i < 50; ++i) {
          buffers::scope inner{b};
          for (int j = 0; j < 3; ++j) (void)alloc<float>(b, 7);
        }
        for (int i = 0; i < 3; ++i) (void)alloc<float>(b, i);  // these differ
        drop(b, kept);
      },
      buffer);
  BOOST_TEST(text.contains(R"(  for (int round1 = 0; round1 < 50; ++round1) {
    {
      buffers::scope scope1{buffer};
      for (int round2 = 0; round2 < 3; ++round2) {
        static_cast<void>(buffers::alloc<float>(buffer, 7));
      }
    }
  }
)"));
  BOOST_TEST(count(text, "buffers::alloc<float>") == 4u);
}

BOOST_AUTO_TEST_CASE(what_is_asked_through_memory_resource_is_seen) {
  slab_resource buffer;
  const std::string text = printed(
      [](std::pmr::memory_resource& b) {
        std::pmr::vector<int> numbers(100, &b);
        numbers.resize(1000);
      },
      buffer);
  BOOST_TEST(text.contains("const auto block1 = buffer.allocate(400, 4);"));
  BOOST_TEST(text.contains("buffer.deallocate(block1, 400);"));
  BOOST_TEST(text.contains("//   buffer            4400   (a slab_resource: peak 4400)"));
}

BOOST_AUTO_TEST_CASE(a_function_of_one_kind_of_buffer_has_its_peaks) {
  slab_resource first;
  bump_resource second{1000};
  (void)first.allocate(5000);
  first.reset();
  const std::string text = printed(
      [](slab_resource& a, bump_resource& b) {
        (void)a.allocate(100);
        (void)b.allocate(7);
      },
      first, second);
  BOOST_TEST(text.contains("//   buffer1            100   (a slab_resource: peak 100)"));
  BOOST_TEST(text.contains("constexpr decltype(sizeof(0)) buffer2 = 7;"));
  BOOST_TEST(text.contains("return bytes{buffer1, buffer2};"));
}

BOOST_AUTO_TEST_CASE(a_buffer_in_use_says_so) {
  slab_resource buffer;
  (void)buffer.allocate(100);
  const std::string text = printed([](auto& b) { (void)alloc<char>(b, 10); }, buffer);
  BOOST_TEST(text.contains("//   buffer              10   (a slab_resource: peak 122, with 100 in use before)"));
}

BOOST_AUTO_TEST_CASE(nothing_is_printed_when_the_function_throws) {
  std::ostringstream os;
  bump_resource buffer{100};
  BOOST_CHECK_THROW(print_usage(os, [](auto& b) { (void)alloc<char>(b, 101); }, buffer), buffers::exhausted);
  BOOST_TEST(os.str().empty());
}

BOOST_AUTO_TEST_CASE(what_one_piece_of_memory_refuses_counts_in_full) {
  constexpr std::size_t large = std::size_t{1} << 21;  // has a slab of its own
  const auto reshapes = [](auto& b) {
    void* const first = b.allocate(100);
    void* const second = b.allocate(large);
    b.deallocate(first, 100);
    b.deallocate(second, large);
    (void)buffers::reshape_buffer<int>(b, 10);
  };
  slab_resource emptied;
  const std::string reshaped = printed(reshapes, emptied);
  BOOST_TEST(reshaped.contains("//   buffer         2097264   ("), reshaped);
  BOOST_TEST(reshaped.contains("  static_cast<void>(buffer.allocate(40, 64));\n"), reshaped);

  const auto grows = [](auto& b) {
    void* const first = b.allocate(100);
    void* const second = b.allocate(large);
    BOOST_TEST(b.try_expand(first, 100, 5000));
    drop(b, std::span(static_cast<std::byte*>(first), 5000));
    drop(b, std::span(static_cast<std::byte*>(second), large));
  };
  slab_resource grown;
  const std::string expanded = printed(grows, grown);
  BOOST_TEST(expanded.contains("//   buffer         2102264   ("), expanded);
  BOOST_TEST(expanded.contains("  const auto block2 = buffer.allocate(5000, 16);\n  buffer.drop(block2, 5000);\n"),
             expanded);
}

BOOST_AUTO_TEST_CASE(random_programs_on_slabs) {
  for (unsigned seed = 1; seed <= 500; ++seed) {
    slab_resource buffer{{.first_slab = 256, .largest_slab = 1024}};
    BOOST_TEST_CONTEXT("seed " << seed) { BOOST_REQUIRE_NO_THROW((void)printed(random_program(seed, 6), buffer)); }
  }
}

BOOST_AUTO_TEST_CASE(results_and_own_resources_of_the_library) {
  buffers::test_resource upstream;
  buffers::pool_resource pool{{}, &upstream};
  const std::string text = printed(
      [](auto& b) {
        std::pmr::vector<int> numbers(100, &b);
        return numbers.size();
      },
      pool);
  BOOST_TEST(text.contains("//   buffer             400   (another resource: peak 400)"));
}

BOOST_AUTO_TEST_CASE(own_resources_with_any_checkpoint) {
  own_stack stack;
  const std::string text = printed(
      [](auto& b) {
        const auto cp = b.checkpoint();
        (void)b.allocate(100);
        b.restore(cp);
        buffers::scope in{b};
        (void)b.allocate(200);
      },
      stack);
  BOOST_TEST(text.contains("//   buffer             200   (another resource)"), text);
  BOOST_TEST(stack.used() == 0u);
}

BOOST_AUTO_TEST_CASE(drops_with_the_alignment_that_is_said) {
  const auto f = [](auto& b) {
    const auto a = alloc<float>(b, buffers::alignment{64}, 100);
    const auto c = alloc<float>(b, buffers::alignment{64}, 10);
    drop(b, buffers::alignment{64}, a, c);
  };
  buffers::test_resource memory;
  const std::string text = printed(f, memory);
  BOOST_TEST(memory.is_clean(), memory.first_mistake());
  BOOST_TEST(text.contains("//   buffer             488   ("), text);
}

BOOST_AUTO_TEST_CASE(a_peak_of_blocks_is_not_that_of_a_reshaped_buffer) {
  const auto f = [](auto& b) { (void)buffers::reshape_buffer<double>(b, 100); };
  bump_resource buffer{1000};
  const std::string text = printed(f, buffer);
  BOOST_TEST(text.contains("//   buffer             800   (a bump_resource)\n"), text);
}

BOOST_AUTO_TEST_CASE(a_block_that_is_shrunk_to_its_size) {
  const auto f = [](auto& b) {
    void* const block = b.allocate(100);
    buffers::scope in{b};
    BOOST_TEST(b.shrink(block, 100, 100));
  };
  bump_resource buffer{1000};
  const std::string text = printed(f, buffer);
  BOOST_TEST(text.contains("//   buffer             100   (a bump_resource: peak 100)"), text);
  BOOST_TEST(count(text, "allocate(") == 1u);
  BOOST_TEST(text.contains(".shrink(block1, 100, 100);"), text);
}

BOOST_AUTO_TEST_CASE(of_an_own_type_only_the_peak) {
  slab_resource buffer;
  const std::string text = printed([](slab_resource& b) { (void)b.allocate(100); }, buffer);
  BOOST_TEST(text.starts_with("// The peak in bytes of the buffer, as seen by"), text);
}

BOOST_AUTO_TEST_SUITE_END()
