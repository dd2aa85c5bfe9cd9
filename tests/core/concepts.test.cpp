#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <memory_resource>
import buffers;

namespace {

struct source_only {
  void* allocate(std::size_t, std::size_t);
  void deallocate(void*, std::size_t, std::size_t);
};
struct with_checkpoint : source_only {
  int checkpoint();
  void restore(int);
};
struct without_restore : source_only {
  int checkpoint();
};
struct without_deallocate {
  void* allocate(std::size_t, std::size_t);
};

}  // namespace

BOOST_AUTO_TEST_SUITE(concepts)

BOOST_AUTO_TEST_CASE(byte_sources) {
  static_assert(buffers::byte_source<std::pmr::memory_resource>);
  static_assert(buffers::byte_source<source_only>);
  static_assert(buffers::byte_source<buffers::slab_resource>);
  static_assert(!buffers::byte_source<without_deallocate>);
  static_assert(!buffers::byte_source<int>);
}

BOOST_AUTO_TEST_CASE(checkpointable_types) {
  static_assert(buffers::checkpointable<with_checkpoint>);
  static_assert(buffers::checkpointable<buffers::bump_resource>);
  static_assert(buffers::checkpointable<buffers::slab_resource>);
  static_assert(!buffers::checkpointable<source_only>);
  static_assert(!buffers::checkpointable<without_restore>);
  static_assert(!buffers::checkpointable<std::pmr::memory_resource>);
}

BOOST_AUTO_TEST_CASE(the_version_is_that_of_the_package) {
  BOOST_TEST(buffers::version.major == 0);
  BOOST_TEST(buffers::version.minor == 1);
  BOOST_TEST(buffers::version.patch == 0);
}

BOOST_AUTO_TEST_SUITE_END()
