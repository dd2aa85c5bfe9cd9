#include "support/child.hpp"

#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
import buffers.testing;

using buffers::exception_test_loop;
using buffers::test_resource;

BOOST_AUTO_TEST_SUITE(testing)

BOOST_AUTO_TEST_CASE(counts) {
  test_resource memory;
  void* const a = memory.allocate(100, 8);
  void* const b = memory.allocate(50, 64);
  BOOST_TEST(memory.live_blocks() == 2u);
  BOOST_TEST(memory.live_bytes() == 150u);
  BOOST_TEST(memory.last_bytes() == 50u);
  BOOST_TEST(memory.last_alignment() == 64u);
  BOOST_TEST(!memory.is_clean());
  memory.deallocate(a, 100, 8);
  BOOST_TEST(memory.live_bytes() == 50u);
  BOOST_TEST(memory.peak_bytes() == 150u);
  memory.deallocate(b, 50, 64);
  BOOST_TEST(memory.is_clean());
  BOOST_TEST(memory.allocations() == 2u);
  BOOST_TEST(memory.deallocations() == 2u);
  BOOST_TEST(memory.first_mistake() == "");
}

BOOST_AUTO_TEST_CASE(alignment_exactly_and_no_more) {
  test_resource memory;
  for (std::size_t alignment = 1; alignment <= std::size_t{1} << 16; alignment *= 2) {
    void* const block = memory.allocate(10, alignment);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(block) % alignment == 0u);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(block) % (2 * alignment) != 0u);
    memory.deallocate(block, 10, alignment);
  }
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_CASE(wrong_size) {
  test_resource memory;
  memory.deallocate(memory.allocate(100, 8), 99, 8);
  BOOST_TEST(memory.mistakes() == 1u);
  BOOST_TEST(memory.first_mistake() == "allocation 0 of 100 bytes was deallocated as 99");
}

BOOST_AUTO_TEST_CASE(wrong_alignment) {
  test_resource memory;
  memory.deallocate(memory.allocate(100, 8), 100, 16);
  BOOST_TEST(memory.first_mistake() == "allocation 0 with alignment 8 was deallocated with 16");
}

BOOST_AUTO_TEST_CASE(foreign_and_freed_blocks) {
  test_resource memory;
  int local = 0;
  memory.deallocate(&local, sizeof local, alignof(int));
  BOOST_TEST(memory.first_mistake() == "a block was deallocated that is not allocated here");
  void* const block = memory.allocate(8);
  memory.deallocate(block, 8);
  memory.deallocate(block, 8);
  BOOST_TEST(memory.mistakes() == 2u);
}

BOOST_AUTO_TEST_CASE(many_blocks_in_any_order) {
  test_resource memory;
  std::vector<void*> blocks;
  for (int i = 0; i < 20'000; ++i) blocks.push_back(memory.allocate(8));
  for (std::size_t i = 0; i < blocks.size(); ++i) memory.deallocate(blocks[i * 7919 % blocks.size()], 8);
  BOOST_TEST(memory.is_clean());
  for (int i = 0; i < 5'000; ++i) (void)memory.allocate(8);  // which it frees itself
}

BOOST_AUTO_TEST_CASE(overruns) {
  test_resource memory;
  for (int offset : {-1, -64, 10, 60}) {
    test_resource fresh;
    auto* const block = static_cast<char*>(fresh.allocate(10, 1));
    block[offset] = 0;
    fresh.deallocate(block, 10, 1);
    BOOST_TEST(fresh.first_mistake() == (offset < 0 ? "allocation 0 was written to before its first byte"
                                                    : "allocation 0 was written to after its last byte"));
  }
}

BOOST_AUTO_TEST_CASE(the_limit) {
  test_resource memory;
  memory.set_allocation_limit(2);
  void* const a = memory.allocate(1);
  void* const b = memory.allocate(1);
  BOOST_CHECK_THROW((void)memory.allocate(1), std::bad_alloc);
  BOOST_CHECK_THROW((void)memory.allocate(1), std::bad_alloc);
  BOOST_TEST(memory.refusals() == 2u);
  BOOST_TEST(memory.allocations() == 2u);
  memory.set_allocation_limit(-1);
  void* const c = memory.allocate(1);
  for (void* block : {a, b, c}) memory.deallocate(block, 1);
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_CASE(sizes_that_overflow) {
  test_resource memory;
  for (std::size_t bytes : {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2})
    BOOST_CHECK_THROW((void)memory.allocate(bytes, 64), std::bad_alloc);
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_CASE(alignments_that_are_none) {
  test_resource memory;
  for (std::size_t alignment : {0uz, 3uz, 6uz, 48uz, 96uz, SIZE_MAX})
    for (std::size_t bytes : {0uz, 10uz, SIZE_MAX})
      BOOST_CHECK_THROW((void)memory.allocate(bytes, alignment), std::invalid_argument);
  memory.set_allocation_limit(0);
  std::size_t three = 3;
  BOOST_CHECK_THROW((void)memory.allocate(10, three), std::invalid_argument);
  BOOST_TEST(memory.refusals() == 0u);
  BOOST_TEST(memory.allocations() == 0u);
  BOOST_TEST(memory.last_alignment() == 0u);
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_CASE(alignments_that_no_memory_has) {
  test_resource memory;
  for (int shift : {55, 59, 60, 61, 62, 63})
    for (std::size_t bytes : {0uz, 10uz, SIZE_MAX})
      BOOST_CHECK_THROW((void)memory.allocate(bytes, std::size_t{1} << shift), std::bad_alloc);
  BOOST_TEST(memory.allocations() == 0u);
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_CASE(identity) {
  test_resource a, b;
  BOOST_TEST(a.is_equal(a));
  BOOST_TEST(!a.is_equal(b));
}

BOOST_AUTO_TEST_CASE(all_bytes_ever) {
  test_resource memory;
  memory.deallocate(memory.allocate(100), 100);
  memory.deallocate(memory.allocate(20), 20);
  BOOST_TEST(memory.total_bytes() == 120u);
  BOOST_TEST(memory.peak_bytes() == 100u);
}

BOOST_AUTO_TEST_CASE(another_default_resource_up_to_the_brace) {
  std::pmr::memory_resource* const before = std::pmr::get_default_resource();
  {
    test_resource memory;
    buffers::default_resource_guard guard{&memory};
    BOOST_TEST(std::pmr::get_default_resource() == &memory);
  }
  BOOST_TEST(std::pmr::get_default_resource() == before);
}

BOOST_AUTO_TEST_CASE(the_loop_ends_when_nothing_fails_any_more) {
  std::size_t calls = 0;
  BOOST_TEST(exception_test_loop([&](std::pmr::memory_resource& memory) {
               ++calls;
               std::pmr::vector<std::pmr::string> words(&memory);
               words.reserve(2);
               words.emplace_back("a string that is too long for the object itself");
               words.emplace_back("a string that is too long for the object itself");
             }) == 4u);
  BOOST_TEST(calls == 4u);
}

BOOST_AUTO_TEST_CASE(the_loop_finds_a_leak) {
  BOOST_CHECK_EXCEPTION(exception_test_loop([](std::pmr::memory_resource& memory) {
                          void* const a = memory.allocate(8);
                          void* const b = memory.allocate(8);  // a is lost when this throws
                          memory.deallocate(b, 8);
                          memory.deallocate(a, 8);
                        }),
                        std::logic_error, [](const std::logic_error& error) {
                          return std::string(error.what()) ==
                                 "exception_test_loop: 1 block leaked with a limit of 1 allocations";
                        });
}

// The first failure is handled, and the second one leaks: it is found all the same.
BOOST_AUTO_TEST_CASE(the_loop_goes_on_after_a_failure_that_is_handled) {
  const auto code = [](std::pmr::memory_resource& memory, bool leaks) {
    void* first = nullptr;
    try {
      first = memory.allocate(8);
      memory.deallocate(memory.allocate(8), 8);
    } catch (const std::bad_alloc&) {
      if (leaks) return;
    }
    if (first != nullptr) memory.deallocate(first, 8);
  };
  BOOST_TEST(exception_test_loop([&](std::pmr::memory_resource& memory) { code(memory, false); }) == 3u);
  BOOST_CHECK_EXCEPTION(exception_test_loop([&](std::pmr::memory_resource& memory) { code(memory, true); }),
                        std::logic_error, [](const std::logic_error& error) {
                          return std::string(error.what()) ==
                                 "exception_test_loop: 1 block leaked with a limit of 1 allocations";
                        });
}

BOOST_AUTO_TEST_CASE(the_loop_finds_a_mistake) {
  BOOST_CHECK_EXCEPTION(
      exception_test_loop([](std::pmr::memory_resource& memory) { memory.deallocate(memory.allocate(8), 9); }),
      std::logic_error, [](const std::logic_error& error) { return std::string(error.what()).contains("as 9"); });
}

BOOST_AUTO_TEST_CASE(the_loop_passes_other_exceptions_and_gives_up) {
  BOOST_CHECK_THROW(exception_test_loop([](std::pmr::memory_resource&) { throw std::range_error("mine"); }),
                    std::range_error);
  BOOST_CHECK_THROW(exception_test_loop([](std::pmr::memory_resource&) { throw std::bad_alloc(); }), std::bad_alloc);
  BOOST_CHECK_THROW(exception_test_loop(
                        [](std::pmr::memory_resource& memory) {
                          for (;;) memory.deallocate(memory.allocate(8), 8);
                        },
                        10),
                    std::logic_error);
}

BOOST_AUTO_TEST_CASE(the_loop_runs_what_cannot_be_copied) {
  auto bytes = std::make_unique<std::size_t>(8);
  const auto code = [bytes = std::move(bytes)](auto& memory) { memory.deallocate(memory.allocate(*bytes), *bytes); };
  BOOST_TEST(exception_test_loop(code) == 2u);
}

// What lies between the block and where its memory begins is as large as the alignment, and watched near the block.
BOOST_AUTO_TEST_CASE(a_strict_alignment_touches_little) {
  if (sanitized || thread_sanitized) return;  // their shadows take memory, too
  const auto resident_pages = [] {
    long all = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> all >> resident;
    return resident;
  };
  test_resource memory;
  const long before = resident_pages();
  auto* const block = static_cast<unsigned char*>(memory.allocate(1, std::size_t{1} << 30));
  BOOST_TEST(resident_pages() - before < 1000);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(block) % (std::size_t{1} << 30) == 0u);
  block[4096] = 0;
  memory.deallocate(block, 1, std::size_t{1} << 30);
  BOOST_TEST(memory.first_mistake() == "allocation 0 was written to after its last byte");
}

BOOST_AUTO_TEST_SUITE_END()
