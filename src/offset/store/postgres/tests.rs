//! What cannot be seen from outside: for how long connections wait for a machine that is silent.

use std::time::Duration;

use super::server::config_of;

#[test]
fn what_the_address_does_not_say_is_bounded() {
    let limits = |address: &str| {
        let config = config_of(address).unwrap();
        (config.get_tcp_user_timeout().copied(), config.get_keepalives_idle(), config.get_keepalives_interval(), config.get_keepalives_retries())
    };
    let seconds = Duration::from_secs;
    let bounded = (Some(seconds(30)), seconds(10), Some(seconds(5)), Some(4));
    assert_eq!(limits("postgres://shop@localhost/shop"), bounded);
    assert_eq!(limits("host=localhost user=shop"), bounded);
    let given = "host=localhost tcp_user_timeout=7 keepalives_idle=7200 keepalives_interval=8 keepalives_retries=9";
    assert_eq!(limits(given), (Some(seconds(7)), seconds(7_200), Some(seconds(8)), Some(9)));
}
