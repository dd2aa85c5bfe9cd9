#define BOOST_TEST_MODULE buffers
#include <boost/test/included/unit_test.hpp>
