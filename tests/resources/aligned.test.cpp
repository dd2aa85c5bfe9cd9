#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>
import buffers;
import buffers.testing;

using buffers::aligned_resource;
using buffers::test_resource;

BOOST_AUTO_TEST_SUITE(aligned)

BOOST_AUTO_TEST_CASE(the_greater_alignment_counts) {
  for (std::size_t minimum = 1; minimum <= 1 << 16; minimum *= 4) {
    test_resource upstream;
    aligned_resource lines{minimum, &upstream};
    BOOST_TEST(lines.alignment() == minimum);
    BOOST_TEST(lines.upstream_resource() == &upstream);
    for (std::size_t asked : {1uz, 16uz, 64uz, 4096uz}) {
      void* const block = lines.allocate(100, asked);
      BOOST_TEST(upstream.last_alignment() == std::max(minimum, asked));
      BOOST_TEST(upstream.last_bytes() == 100u);
      BOOST_TEST(reinterpret_cast<std::uintptr_t>(block) % std::max(minimum, asked) == 0u);
      lines.deallocate(block, 100, asked);
    }
    BOOST_TEST(upstream.first_mistake() == "");
    BOOST_TEST(upstream.is_clean());
  }
}

BOOST_AUTO_TEST_CASE(a_minimum_that_is_none) {
  for (std::size_t minimum : {0uz, 3uz, 48uz, SIZE_MAX, std::size_t{1} << 31, std::size_t{1} << 63}) try {
      aligned_resource lines{minimum};
      BOOST_ERROR(minimum << " is no alignment");
    } catch (const std::invalid_argument& e) {
      BOOST_TEST(e.what() == std::string("buffers: aligned_resource::alignment must be a power of two up to 2^30"));
    }
  BOOST_TEST(aligned_resource{std::size_t{1} << 30}.alignment() == std::size_t{1} << 30);
}

BOOST_AUTO_TEST_CASE(the_pointer_for_no_bytes_has_it_too) {
  aligned_resource lines{256};
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(lines.allocate(0)) % 256 == 0u);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(lines.allocate(0, 4096)) % 4096 == 0u);
}

BOOST_AUTO_TEST_CASE(alignments_are_checked_before_they_are_raised) {
  test_resource upstream;
  aligned_resource lines{256, &upstream};
  for (std::size_t asked : {0uz, 3uz, 255uz, 257uz})
    for (std::size_t bytes : {0uz, 1uz, SIZE_MAX})
      BOOST_CHECK_THROW((void)lines.allocate(bytes, asked), std::invalid_argument);
  BOOST_TEST(upstream.last_bytes() == 0u);
}

BOOST_AUTO_TEST_CASE(an_upstream_that_fails) {
  test_resource upstream;
  upstream.set_allocation_limit(0);
  aligned_resource lines{256, &upstream};
  BOOST_CHECK_THROW((void)lines.allocate(100), std::bad_alloc);
  BOOST_CHECK_THROW((void)lines.allocate(SIZE_MAX - 100), std::bad_alloc);
  BOOST_TEST(upstream.refusals() == 1u);
}

BOOST_AUTO_TEST_CASE(vectors_on_cache_lines) {
  buffers::slab_resource scratch;
  aligned_resource lines{64, &scratch};
  for (int i = 0; i < 10; ++i) {
    (void)scratch.allocate(1);
    std::pmr::vector<float> samples(1000, &lines);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(samples.data()) % 64 == 0u);
  }
}

BOOST_AUTO_TEST_SUITE_END()
