#include <boost/test/unit_test.hpp>
import buffers;
BOOST_AUTO_TEST_SUITE(thread_resources)
BOOST_AUTO_TEST_SUITE_END()
