#include <sys/mman.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory_resource>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/refuse.hpp"
#include "support/require.hpp"
import buffers;

using buffers::page_resource;

namespace {

constexpr std::size_t huge = std::size_t{2} << 20;

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }
std::byte* bytes(page_resource& pages, std::size_t count, std::size_t alignment = 16) {
  return static_cast<std::byte*>(pages.allocate(count, alignment));
}

/// How many of the pages behind these bytes are in memory.
std::size_t resident(const std::byte* first, std::size_t count, std::size_t page) {
  auto* const start = const_cast<std::byte*>(first) - address(first) % page;
  const std::size_t pages = (count + page - 1) / page;
  std::vector<unsigned char> in(pages);
  BOOST_REQUIRE(mincore(start, pages * page, in.data()) == 0);
  return static_cast<std::size_t>(std::ranges::count_if(in, [](unsigned char c) { return (c & 1) != 0; }));
}

bool is_mapped(const void* page_start, std::size_t page) {
  unsigned char in = 0;
  return mincore(const_cast<void*>(page_start), page, &in) == 0;
}

/// The kernel's flags of the mapping that this byte lies in.
std::string flags_of(const void* byte) {
  std::ifstream smaps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream in(line);
    std::uintptr_t from = 0, to = 0;
    char dash = 0;
    if (line.find('-') < 17 && in >> std::hex >> from >> dash >> to && dash == '-')
      here = from <= address(byte) && address(byte) < to;
    else if (here && line.starts_with("VmFlags:"))
      return line + ' ';
  }
  return "";
}

/// The size of this process's address space.
std::size_t mapped_bytes() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

const auto only_with_huge_pages = [](boost::unit_test::test_unit_id) {
  return boost::test_tools::assertion_result(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled").good());
};

[[noreturn]] void fail(int code) { _exit(code); }

}  // namespace

BOOST_AUTO_TEST_SUITE(page)

BOOST_AUTO_TEST_CASE(blocks_are_whole_pages_of_zeros) {
  page_resource pages;
  const std::size_t page = pages.page_bytes();
  BOOST_TEST(page == static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  for (std::size_t count : {1uz, 16uz, page - 1, page, page + 1, 10 * page}) {
    std::byte* const block = bytes(pages, count);
    BOOST_TEST(address(block) % page == 0u);
    const std::size_t whole = (count + page - 1) / page * page;
    BOOST_TEST(pages.capacity() == whole);
    BOOST_TEST(std::ranges::count(block, block + whole, std::byte{}) == static_cast<std::ptrdiff_t>(whole));
    std::memset(block, 1, whole);
    pages.deallocate(block, count);
    BOOST_TEST(pages.capacity() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(each_block_has_a_mapping_of_its_own_that_goes_with_it) {
  page_resource pages;
  const std::size_t page = pages.page_bytes();
  std::byte* const a = bytes(pages, 3 * page);
  std::byte* const b = bytes(pages, 3 * page);
  std::memset(b, 7, 3 * page);
  pages.deallocate(a, 3 * page);
  for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(!is_mapped(a + i * page, page));
  BOOST_TEST(std::ranges::count(b, b + 3 * page, std::byte{7}) == static_cast<std::ptrdiff_t>(3 * page));
  pages.deallocate(b, 3 * page);
}

BOOST_AUTO_TEST_CASE(counters) {
  page_resource pages;
  const std::size_t page = pages.page_bytes();
  void* const a = pages.allocate(100);
  void* const b = pages.allocate(page + 1);
  BOOST_TEST(pages.used() == 101 + page);
  BOOST_TEST(pages.capacity() == 3 * page);
  pages.deallocate(b, page + 1);
  BOOST_TEST(pages.used() == 100u);
  BOOST_TEST(pages.peak() == 101 + page);
  BOOST_TEST(pages.capacity() == page);
  pages.reset_peak();
  BOOST_TEST(pages.peak() == 100u);
  pages.deallocate(a, 100);
  BOOST_TEST(pages.used() == 0u);
  BOOST_TEST(pages.peak() == 100u);
  BOOST_TEST(pages.capacity() == 0u);
}

BOOST_AUTO_TEST_CASE(guard_pages_are_not_counted) {
  page_resource pages{{.guard_pages = true}};
  void* const a = pages.allocate(100);
  BOOST_TEST(pages.capacity() == pages.page_bytes());
  pages.deallocate(a, 100);
}

BOOST_AUTO_TEST_CASE(blocks_of_an_odd_alignment_leave_nothing_mapped_around_them) {
  for (bool guards : {false, true}) {
    page_resource pages{{.guard_pages = guards}};
    const std::size_t page = pages.page_bytes(), alignment = 64 * page;
    std::byte* const block = bytes(pages, page, alignment);
    BOOST_TEST(address(block) % alignment == 0u);
    const std::size_t guard = guards ? page : 0;
    std::vector<bool> around;
    for (std::byte* at : {block - guard, block + page}) around.push_back(is_mapped(at, page));
    if (guards) BOOST_TEST((around == std::vector{true, true}));
    pages.deallocate(block, page, alignment);
    for (std::byte* at : {block - guard, block, block + page - page + guard}) BOOST_TEST(!is_mapped(at, page));
  }
}

BOOST_AUTO_TEST_CASE(no_memory) {
  for (bool guards : {false, true}) {
    page_resource pages{{.guard_pages = guards}};
    void* const kept = pages.allocate(100);
    for (std::size_t count : {std::size_t{1} << 46, std::size_t{1} << 50, SIZE_MAX / 4})
      for (std::size_t alignment : {16uz, std::size_t{1} << 30})
        BOOST_CHECK_THROW((void)pages.allocate(count, alignment), std::bad_alloc);
    BOOST_TEST(pages.used() == 100u);
    BOOST_TEST(pages.peak() == 100u);
    BOOST_TEST(pages.capacity() == pages.page_bytes());
    pages.deallocate(kept, 100);
  }
}

BOOST_AUTO_TEST_CASE(pages_come_when_they_are_touched_or_at_once) {
  for (std::size_t count : {std::size_t{100}, std::size_t{1} << 20, 3 * huge + 1}) {
    page_resource later, now{{.prefault = true}}, guarded{{.prefault = true, .guard_pages = true}};
    const std::size_t page = later.page_bytes(), all = (count + page - 1) / page;
    std::byte* const a = bytes(later, count);
    std::byte* const b = bytes(now, count);
    std::byte* const c = bytes(guarded, count);
    BOOST_TEST(resident(a, count, page) == 0u);
    BOOST_TEST(resident(b, count, page) == all);
    BOOST_TEST(resident(c, count, page) == all);
    later.deallocate(a, count);
    now.deallocate(b, count);
    guarded.deallocate(c, count);
  }
}

BOOST_AUTO_TEST_CASE(huge_pages, *boost::unit_test::precondition(only_with_huge_pages)) {
  page_resource pages{{.huge_pages = true}};
  const std::size_t page = pages.page_bytes();
  std::byte* const small = bytes(pages, huge - page);
  std::byte* const shift = bytes(pages, page);
  std::byte* const large = bytes(pages, huge);
  std::byte* const larger = bytes(pages, huge + page);
  BOOST_TEST(!flags_of(small).contains(" hg "));
  for (std::byte* block : {large, larger}) {
    BOOST_TEST(address(block) % huge == 0u);
    BOOST_TEST(flags_of(block).contains(" hg "), flags_of(block));
  }
  BOOST_TEST(pages.capacity() == 3 * huge + page);
  pages.deallocate(small, huge - page);
  pages.deallocate(shift, page);
  pages.deallocate(large, huge);
  pages.deallocate(larger, huge + page);
  page_resource plain;
  std::byte* const block = bytes(plain, 2 * huge);
  BOOST_TEST(!flags_of(block).contains(" hg "));
  plain.deallocate(block, 2 * huge);
}

BOOST_AUTO_TEST_CASE(huge_pages_between_guard_pages, *boost::unit_test::precondition(only_with_huge_pages)) {
  page_resource pages{{.huge_pages = true, .prefault = true, .guard_pages = true}};
  const std::size_t page = pages.page_bytes(), count = huge + page / 2;
  std::byte* const block = bytes(pages, count);
  BOOST_TEST(address(block) % huge == page / 2);  // its pages begin at a multiple of 2 MiB
  BOOST_TEST(flags_of(block).contains(" hg "));
  BOOST_TEST(resident(block, count, page) == huge / page + 1);
  pages.deallocate(block, count);
}

BOOST_AUTO_TEST_CASE(a_guarded_block_ends_at_its_guard_page) {
  page_resource pages{{.guard_pages = true}};
  const std::size_t page = pages.page_bytes();
  for (std::size_t count : {1uz, 16uz, 100uz, page - 1, page, page + 1})
    for (std::size_t alignment : {1uz, 16uz, 64uz, page / 2}) {
      std::byte* const block = bytes(pages, count, alignment);
      BOOST_TEST(address(block) % alignment == 0u);
      const std::size_t rest = (page - address(block + count) % page) % page;
      BOOST_TEST(rest < alignment);
      std::memset(block, 1, count);
      pages.deallocate(block, count, alignment);
    }
  std::byte* const block = bytes(pages, 100, 2 * page);
  BOOST_TEST(address(block) % (2 * page) == 0u);
  pages.deallocate(block, 100, 2 * page);
}

BOOST_AUTO_TEST_CASE(one_byte_too_far_is_fatal) {
  for (std::size_t count : {1uz, 4096uz, 10'000uz, 3 * huge})
    for (std::size_t alignment : {1uz, 4096uz, std::size_t{1} << 16}) {
      for (bool huge_ones : {false, true}) {
        page_resource pages{{.huge_pages = huge_ones, .guard_pages = true}};
        std::byte* const block = bytes(pages, count, alignment);
        const std::size_t page = pages.page_bytes();
        std::byte* const first = block - address(block) % page;
        std::byte* const end =
            alignment == 1 ? block + count : first + (address(block + count) - address(first) + page - 1) / page * page;
        const child alive = run_in_child([&] {
          touch(block);
          touch(block + count - 1);
          touch(end - 1);
        });
        BOOST_TEST(alive.survived(), alive);
        BOOST_TEST(run_in_child([&] { touch(end); }).segfaulted());
        BOOST_TEST(run_in_child([&] { touch(end + page - 1); }).segfaulted());
        BOOST_TEST(run_in_child([&] { touch(first - 1); }).segfaulted());
        BOOST_TEST(run_in_child([&] { touch(first - page); }).segfaulted());
        pages.deallocate(block, count, alignment);
      }
    }
}

BOOST_AUTO_TEST_CASE(a_byte_before_a_full_page_is_fatal) {
  page_resource pages{{.guard_pages = true}}, plain;
  const std::size_t page = pages.page_bytes();
  std::byte* const block = bytes(pages, page);
  BOOST_TEST(run_in_child([&] { touch(block - 1); }).segfaulted());
  BOOST_TEST(run_in_child([&] { touch(block); }).survived());
  pages.deallocate(block, page);
}

BOOST_AUTO_TEST_CASE(what_was_given_back_is_fatal) {
  for (bool guards : {false, true}) {
    const auto run = [&](bool give_back) {
      return run_in_child([&] {
        page_resource pages{{.guard_pages = guards}};
        void* const block = pages.allocate(100);
        if (give_back) pages.deallocate(block, 100);
        touch(block);
      });
    };
    BOOST_TEST(run(false).survived());
    BOOST_TEST(run(true).segfaulted());
  }
}

// --- when the system refuses -----------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_kernel_that_cannot_prefault) {
  const child alive = run_in_child([] {
    if (!refuse(SYS_madvise, 2, MADV_POPULATE_WRITE, EINVAL)) fail(2);
    page_resource pages{{.prefault = true}};
    const std::size_t page = pages.page_bytes();
    auto* const block = static_cast<std::byte*>(pages.allocate(50 * page));
    unsigned char in[50];
    if (mincore(block, 50 * page, in) != 0) fail(3);
    if (std::ranges::count_if(in, [](unsigned char c) { return (c & 1) != 0; }) != 50) fail(4);
  });
  BOOST_TEST(alive.survived(), alive);
}

BOOST_AUTO_TEST_CASE(too_little_memory_to_prefault) {
  const child alive = run_in_child([] {
    if (!refuse(SYS_madvise, 2, MADV_POPULATE_WRITE, ENOMEM)) fail(2);
    for (bool guards : {false, true}) {
      page_resource pages{{.prefault = true, .guard_pages = guards}};
      const std::size_t mapped = mapped_bytes();
      for (int i = 0; i < 100; ++i) {
        try {
          (void)pages.allocate(50'000, std::size_t{1} << 16);
          fail(3);
        } catch (const std::bad_alloc&) {
        }
      }
      if (pages.used() != 0 || pages.peak() != 0 || pages.capacity() != 0) fail(4);
      if (mapped_bytes() > mapped + 50 * pages.page_bytes()) fail(5);
    }
  });
  BOOST_TEST(alive.survived(), alive);
}

BOOST_AUTO_TEST_CASE(too_many_mappings_to_cut_out_a_block) {
  for (unsigned call : {unsigned{SYS_munmap}, unsigned{SYS_mprotect}}) {
    const child alive = run_in_child([&] {
      page_resource pages{{.guard_pages = true}};
      const std::size_t page = pages.page_bytes();
      // What is cut off behind a block that happens to lie right, and the block itself.
      if (!refuse(call, 1, static_cast<unsigned>(call == SYS_munmap ? 63 * page : 5 * page), ENOMEM)) fail(2);
      const std::size_t mapped = mapped_bytes();
      std::size_t failures = 0;
      for (int i = 0; i < 200; ++i) try {
          (void)pages.allocate(5 * page, 64 * page);
        } catch (const std::bad_alloc&) {
          ++failures;
        }
      if (call == SYS_mprotect && failures != 200) fail(3);
      if (call == SYS_mprotect && mapped_bytes() > mapped + 1000 * page) fail(5);
      if (pages.used() != (200 - failures) * 5 * page) fail(4);
    });
    BOOST_TEST(alive.survived(), alive);
  }
}

BOOST_AUTO_TEST_CASE(too_many_mappings_to_give_a_block_back) {
  const child alive = run_in_child([] {
    page_resource pages;
    const std::size_t page = pages.page_bytes();
    auto* const block = static_cast<std::byte*>(pages.allocate(37 * page));
    std::memset(block, 1, 37 * page);
    if (!refuse(SYS_munmap, 1, static_cast<unsigned>((hardened ? 38 : 37) * page), ENOMEM)) fail(2);
    pages.deallocate(block, 37 * page);
    unsigned char in[37];
    if (mincore(block, 37 * page, in) != 0) fail(3);
    if (std::ranges::count_if(in, [](unsigned char c) { return (c & 1) != 0; }) != 0) fail(4);
    if (pages.used() != 0 || pages.capacity() != 0) fail(5);
  });
  BOOST_TEST(alive.survived(), alive);
}

BOOST_AUTO_TEST_CASE(any_thread_at_any_time) {
  page_resource pages{{.guard_pages = true}};
  const auto work = [&](unsigned seed) {
    for (std::size_t i = 0; i < 300; ++i) {
      const std::size_t count = 1 + (i * 7919 + seed) % 20'000;
      auto* const block = static_cast<unsigned char*>(pages.allocate(count));
      std::memset(block, static_cast<int>(seed), count);
      require(block[0] == seed && block[count - 1] == seed);
      require(pages.used() >= count && pages.peak() >= count);
      pages.deallocate(block, count);
    }
  };
  std::thread a(work, 1), b(work, 2), c(work, 3);
  a.join();
  b.join();
  c.join();
  BOOST_TEST(pages.used() == 0u);
  BOOST_TEST(pages.capacity() == 0u);
  BOOST_TEST(pages.peak() <= 60'000u);
}

BOOST_AUTO_TEST_CASE(under_a_buffer) {
  page_resource pages{{.huge_pages = true, .prefault = true}};
  {
    buffers::bump_resource buffer{std::size_t{8} << 20, &pages};
    BOOST_TEST(pages.used() == 8u << 20);
    std::pmr::vector<double> samples(100'000, 1.0, &buffer);
    BOOST_TEST(samples.back() == 1.0);
  }
  BOOST_TEST(pages.used() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
