// A part of the module, to see what it does not export.
module;
#include "support/pool_sizes.hpp"

#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <vector>
module buffers.resources;

using namespace buffers::detail;

namespace {

/// Every size up to 70000, and the three at each border up to 128 MiB.
std::vector<std::size_t> sizes_to_try() {
  std::vector<std::size_t> all;
  for (std::size_t n = 1; n <= 70'000; ++n) all.push_back(n);
  for (std::size_t border : pool_blocks(largest_listed)) {
    if (border <= 70'000) continue;
    for (std::size_t n : {border - 1, border, border + 1})
      if (n <= largest_listed) all.push_back(n);
  }
  return all;
}

/// The first size for which something does not hold; 0 when it holds for all.
std::size_t first_exception(const auto& holds) {
  for (std::size_t n : sizes_to_try())
    if (!holds(n)) return n;
  return 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(size_classes)

BOOST_AUTO_TEST_CASE(there_are_64_up_to_1_mib) {
  BOOST_TEST(classes == 64u);
  BOOST_TEST(bytes_of(0) == 8u);
  BOOST_TEST(bytes_of(classes - 1) == std::size_t{1} << 20);
  BOOST_TEST(class_of(1) == 0u);
  BOOST_TEST(class_of(largest_listed) == classes - 1);
}

BOOST_AUTO_TEST_CASE(the_table_in_the_comment) {
  const std::vector<std::size_t> expected{8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320};
  for (std::size_t c = 0; c < expected.size(); ++c) BOOST_TEST(bytes_of(c) == expected[c]);
  const std::vector<std::size_t> all = pool_blocks(largest_listed);
  BOOST_REQUIRE(all.size() == classes);
  for (std::size_t c = 0; c < classes; ++c) BOOST_TEST(bytes_of(c) == all[c]);
}

BOOST_AUTO_TEST_CASE(a_block_is_the_least_that_is_enough) {
  BOOST_TEST(first_exception([](std::size_t n) {
               const std::size_t c = class_of(n);
               return bytes_of(c) >= n && (c == 0 || bytes_of(c - 1) < n) && bytes_of(c) == pool_block(n);
             }) == 0u);
}

BOOST_AUTO_TEST_CASE(larger_requests_never_get_smaller_blocks) {
  std::size_t before = 0;
  BOOST_TEST(first_exception([&](std::size_t n) {
               const std::size_t c = class_of(n);
               const bool grows = c == before || c == before + 1;
               before = c;
               return grows;
             }) == 0u);
}

BOOST_AUTO_TEST_CASE(a_block_asked_for_whole_is_of_the_same_class) {
  for (std::size_t c = 0; c < classes; ++c) {
    BOOST_TEST(class_of(bytes_of(c)) == c);
    if (c + 1 < classes) BOOST_TEST(class_of(bytes_of(c) + 1) == c + 1);
  }
}

BOOST_AUTO_TEST_CASE(waste_is_7_bytes_below_64_and_a_quarter_from_32_on) {
  BOOST_TEST(first_exception([](std::size_t n) {
               const std::size_t waste = bytes_of(class_of(n)) - n;
               return (n > 64 || waste <= 7) && (n < 32 || waste <= n / 4);
             }) == 0u);
}

BOOST_AUTO_TEST_CASE(blocks_are_multiples_of_8_and_above_64_bytes_of_16) {
  for (std::size_t c = 0; c < classes; ++c) BOOST_TEST(bytes_of(c) % (bytes_of(c) > 64 ? 16 : 8) == 0u);
}

BOOST_AUTO_TEST_CASE(blocks_are_multiples_of_their_alignment) {
  for (std::size_t alignment = 1; alignment <= page_bytes; alignment *= 2)
    BOOST_TEST(first_exception([=](std::size_t n) {
                 const std::size_t c = class_of(n, alignment);
                 return c < classes && bytes_of(c) % alignment == 0 && bytes_of(c) == pool_block(n, alignment);
               }) == 0u);
}

BOOST_AUTO_TEST_CASE(alignments_up_to_8_change_no_class_nor_16_above_64_bytes) {
  for (std::size_t alignment : {1uz, 2uz, 4uz, 8uz})
    BOOST_TEST(first_exception([=](std::size_t n) { return class_of(n, alignment) == class_of(n); }) == 0u);
  BOOST_TEST(first_exception([=](std::size_t n) { return n <= 64 || class_of(n, 16) == class_of(n); }) == 0u);
  BOOST_TEST(bytes_of(class_of(24, 8)) == 24u);
  BOOST_TEST(bytes_of(class_of(24, 16)) == 32u);
}

BOOST_AUTO_TEST_CASE(runs_are_pages_that_at_most_256_blocks_fill) {
  for (std::size_t c = 0; c < classes; ++c) {
    const std::size_t filled = blocks_per_run(c) * bytes_of(c), all = pages_of(c) * page_bytes;
    BOOST_TEST(filled <= all);
    BOOST_TEST((bytes_of(c) == 8 ? filled == all / 2 : all - filled < bytes_of(c)));
    if (bytes_of(c) % 16 == 0) BOOST_TEST(filled == all);
    BOOST_TEST(blocks_per_run(c) >= 1u);
    BOOST_TEST(blocks_per_run(c) <= 256u);
    BOOST_TEST((blocks_per_run(c) == 1) == (c >= shared_classes));
  }
  BOOST_TEST(bytes_of(shared_classes - 1) == 16u * 1024);
}

BOOST_AUTO_TEST_CASE(a_class_has_up_to_1_mib_and_an_alignment_of_a_page) {
  for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
    BOOST_TEST(!has_class(0, alignment));
    BOOST_TEST(has_class(1, alignment));
    BOOST_TEST(has_class(largest_listed, alignment));
    BOOST_TEST(!has_class(largest_listed + 1, alignment));
    BOOST_TEST(!has_class(SIZE_MAX, alignment));
  }
  for (std::size_t alignment = 8192; alignment != 0; alignment *= 2) BOOST_TEST(!has_class(1, alignment));
  for (std::size_t bytes : {0uz, 1uz, 4096uz, largest_listed}) BOOST_TEST(!has_class(bytes, 0));
}

BOOST_AUTO_TEST_CASE(oversize_is_above_128_mib_or_a_page) {
  BOOST_TEST(!is_oversize(largest_block, 4096));
  BOOST_TEST(is_oversize(largest_block + 1, 1));
  BOOST_TEST(is_oversize(1, 8192));
  BOOST_TEST(is_oversize(SIZE_MAX, 1));
}

BOOST_AUTO_TEST_SUITE_END()
