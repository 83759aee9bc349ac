//! Refuses settings that cannot work, or that would open the service by accident.

use std::time::Duration;

use vagn_api::map::StyleUrl;

use super::address::{is_name, is_origin, resolve};
use super::caution::masked;
use super::fsync::Fsync;
use super::refused::{ANSWER_BYTES_MIN, Refused, TOKEN_MIN};
use super::settings::{MapSettings, Settings};
use super::span::Span;
use vagn_flow::proof::DeviceMode;

/// Shortest time between two syncs. With a shorter one the disk would do nothing else.
const FSYNC_MIN: Span = Span(Duration::from_millis(10));

/// Twice the pause between two signs of life of an idle part: with less, an idle part would be taken for hung.
const HANG_LIMIT_MIN: Duration = Duration::from_secs(2);

impl Settings {
    /// Checks that the settings can work together.
    ///
    /// # Errors
    /// Names the first setting that is wrong.
    pub fn check(&self) -> Result<(), Refused> {
        self.check_numbers()?;
        if self.http.max_answer_bytes < ANSWER_BYTES_MIN {
            return Err(Refused::AnswerBytes(self.http.max_answer_bytes));
        }
        if self.hang_limit.0 < HANG_LIMIT_MIN {
            return Err(Refused::HangLimit(self.hang_limit));
        }
        if self.http.cert.as_os_str().is_empty() != self.http.key.as_os_str().is_empty() {
            return Err(Refused::HalfCertificate);
        }
        if self.http.tokens.iter().any(|token| token.trim().is_empty()) {
            return Err(Refused::EmptyToken);
        }
        let lengths = self.http.tokens.iter().map(|token| token.trim().chars().count());
        if let Some((at, length)) = lengths.enumerate().find(|(_, length)| *length < TOKEN_MIN) {
            return Err(Refused::ShortToken { at, length });
        }
        self.check_origins()?;
        self.check_names()?;
        self.map.style()?;
        self.check_lengths()?;
        self.emergency.targets()?;
        self.cluster.check()?;
        self.check_reach()
    }

    fn check_numbers(&self) -> Result<(), Refused> {
        let numbers = [
            ("max_vehicles", self.max_vehicles),
            ("max_open_incidents", self.max_open_incidents),
            ("udp.receive_buffer_bytes", self.udp.receive_buffer_bytes),
            ("tcp.max_connections", self.tcp.max_connections),
            ("http.max_connections", self.http.max_connections),
            ("pools.shed_queue", self.pools.shed_queue),
            ("pools.wait_queue", self.pools.wait_queue),
            ("pools.query_queue", self.pools.query_queue),
            ("pools.storage_mailbox", self.pools.storage_mailbox),
        ];
        match numbers.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(Refused::Zero(key)),
            None => Ok(()),
        }
    }

    fn check_origins(&self) -> Result<(), Refused> {
        let origins = &self.http.cors_origins;
        if origins.len() == 1 && origins[0] == "*" {
            return Ok(());
        }
        match origins.iter().find(|origin| !is_origin(origin)) {
            Some(wrong) => Err(Refused::Origin(masked(wrong))),
            None => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), Refused> {
        for (key, names) in [("ops.names", &self.ops.names), ("http.names", &self.http.names)] {
            if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
                return Err(Refused::Name { key, name: wrong.clone() });
            }
        }
        match self.http.public_url.is_empty() || self.http.public_host().is_some() {
            true => Ok(()),
            false => Err(Refused::PublicUrl(masked(&self.http.public_url))),
        }
    }

    fn check_lengths(&self) -> Result<(), Refused> {
        let fsync = match self.fsync {
            Fsync::Every(every) => every,
            Fsync::Always | Fsync::Never => FSYNC_MIN,
        };
        let lengths = [
            ("fsync", fsync, FSYNC_MIN),
            ("forget_after", self.forget_after, Span::seconds(60)),
            ("tcp.idle_timeout", self.tcp.idle_timeout, Span::seconds(1)),
        ];
        if let Some(&(key, value, min)) = lengths.iter().find(|(_, value, min)| value.0 < min.0) {
            return Err(Refused::TooShort { key, value, min });
        }
        let numbers = [
            ("partitions", self.partitions, 256),
            ("pools.ingest_workers", self.pools.ingest_workers, 1024),
            ("pools.query_workers", self.pools.query_workers, 1024),
            ("pools.shed_queue", self.pools.shed_queue, 1 << 20),
            ("pools.wait_queue", self.pools.wait_queue, 1 << 20),
            ("pools.query_queue", self.pools.query_queue, 1 << 20),
            ("pools.storage_mailbox", self.pools.storage_mailbox, 1 << 20),
        ];
        match numbers.iter().find(|(_, value, max)| value > max) {
            Some(&(key, value, max)) => Err(Refused::TooMuch { key, value, max }),
            None => Ok(()),
        }
    }

    fn check_reach(&self) -> Result<(), Refused> {
        const NO_KEYS: &str = "open reports are taken there";
        if self.auth.devices != DeviceMode::Required {
            let remedy = "set `auth.devices = \"required\"`, or ";
            self.closed("udp.listen", &self.udp.listen, NO_KEYS, remedy)?;
            self.closed("tcp.listen", &self.tcp.listen, NO_KEYS, remedy)?;
        }
        if self.http.plain && !self.http.is_local() && self.http.trusted_proxies.is_empty() {
            return Err(Refused::Plain(self.http.listen.clone()));
        }
        resolve("http.listen", &self.http.listen)?;
        self.closed("ops.listen", &self.ops.listen, "metrics and health ask for no token", "")
    }

    /// Refuses an API that others reach and that is open to all; `is_closed` tells if there ever was a token.
    ///
    /// # Errors
    /// [`Refused::Open`], with the remedy.
    pub fn check_api(&self, is_closed: bool) -> Result<(), Refused> {
        let remedy =
            "make a token first with `vagn token add NAME --role admin --person --data-dir DIR`, or ";
        if is_closed {
            return Ok(());
        }
        self.closed("http.listen", &self.http.listen, "no token was ever made", remedy)
    }

    /// Refuses an address that other machines can reach, unless the settings allow it.
    fn closed(
        &self,
        key: &'static str,
        listen: &str,
        lacks: &'static str,
        remedy: &'static str,
    ) -> Result<(), Refused> {
        if resolve(key, listen)?.iter().all(|address| address.ip().is_loopback()) || self.insecure_open {
            return Ok(());
        }
        Err(Refused::Open { key, listen: listen.into(), lacks, remedy })
    }
}

impl MapSettings {
    /// Returns the map style, if one is set.
    ///
    /// # Errors
    /// The address is none that a page can load.
    pub fn style(&self) -> Result<Option<StyleUrl>, Refused> {
        if self.style_url.is_empty() {
            return Ok(None);
        }
        let refused = |why| Refused::StyleUrl { style_url: self.style_url.clone(), why };
        StyleUrl::parse(&self.style_url).map(Some).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    }

    #[test]
    fn accepts_the_defaults() {
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn a_door_beyond_loopback_needs_insecure_open() {
        let said = refusal(|settings| settings.udp.listen = "0.0.0.0:9092".into());
        assert!(said.contains("udp.listen") && said.contains("--insecure-open"), "{said}");
        let open = Settings {
            insecure_open: true,
            udp: super::super::UdpSettings { listen: "0.0.0.0:9092".into(), ..Default::default() },
            ..Settings::default()
        };
        assert_eq!(open.check(), Ok(()));
    }

    #[test]
    fn a_door_beyond_loopback_may_ask_for_seals_instead() {
        for (devices, is_fine) in
            [(DeviceMode::Open, false), (DeviceMode::Mixed, false), (DeviceMode::Required, true)]
        {
            let mut settings = Settings::default();
            settings.udp.listen = "0.0.0.0:9092".into();
            settings.tcp.listen = "0.0.0.0:9091".into();
            settings.auth.devices = devices;
            assert_eq!(settings.check().is_ok(), is_fine, "{devices:?}");
        }
        let said = refusal(|settings| settings.udp.listen = "0.0.0.0:9092".into());
        assert!(said.contains("auth.devices = \"required\""), "{said}");
    }

    #[test]
    fn an_api_beyond_loopback_may_ask_for_tokens_instead() {
        let mut settings = Settings::default();
        settings.http.listen = "0.0.0.0:9090".into();
        let said = settings.check_api(false).unwrap_err().to_string();
        assert!(said.contains("http.listen") && said.contains("vagn token add"), "{said}");
        assert_eq!((settings.check(), settings.check_api(true)), (Ok(()), Ok(())));
        let open = Settings { insecure_open: true, ..settings };
        assert_eq!(open.check_api(false), Ok(()));
    }

    #[test]
    fn a_token_is_long_enough_and_its_refusal_does_not_show_it() {
        let long = "0123456789abcdef".to_owned();
        let said = refusal(|settings| settings.http.tokens = vec![long.clone(), "hush-hush".into()]);
        assert!(said.contains("`http.tokens[1]` has 9 characters") && said.contains("openssl"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }

    #[test]
    fn memory_for_answers_has_room_for_some() {
        let said = refusal(|settings| settings.http.max_answer_bytes = ANSWER_BYTES_MIN - 1);
        assert!(said.contains("http.max_answer_bytes") && said.contains("16777216"), "{said}");
    }

    #[test]
    fn a_shared_address_is_an_address() {
        let read = |value: &str| toml::from_str::<Settings>(&format!("http.shared_addresses = {value}"));
        for fine in ["\"192.0.2.7\"", "[\"192.0.2.7\", \"2001:db8::7\"]", "[]"] {
            assert!(read(fine).is_ok(), "{fine}");
        }
        for wrong in ["\"proxy.example\"", "[\"192.0.2.0/24\"]", "\"\""] {
            let said = read(wrong).unwrap_err().to_string();
            assert!(said.contains("is not an IP address, such as 192.0.2.7"), "{said}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        let check = |origins: &[&str]| {
            let mut settings = Settings::default();
            settings.http.cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
            settings.check()
        };
        for fine in ["*", "https://map.example", "http://localhost:3000", "http://[::1]:8080", "app://map"] {
            assert_eq!(check(&[fine]), Ok(()), "{fine}");
        }
        for wrong in [
            "",
            "map.example",
            "https://",
            "https://map.example/",
            "https://Map.example",
            "https://map.example:443",
            "https://*.example",
            "null",
        ] {
            assert_eq!(check(&[wrong]), Err(Refused::Origin(wrong.to_owned())));
        }
        assert_eq!(check(&["https://map.example", "*"]), Err(Refused::Origin("*".to_owned())));
    }

    #[test]
    fn a_public_address_that_is_none_is_refused() {
        for wrong in
            ["fleet.example", "https://fleet.example/", "ftp://fleet.example", "https://a b", "https://x:y"]
        {
            let said = refusal(|settings| settings.http.public_url = wrong.into());
            assert!(said.contains("http.public_url"), "{said}");
        }
    }

    #[test]
    fn an_address_that_is_refused_shows_no_password() {
        for wrong in
            ["https://u:hunter2@x", "u:hunter2@x", "https://a:b@hunter2@x", "https://x/?token=hunter2"]
        {
            for said in [
                refusal(|settings| settings.http.public_url = wrong.into()),
                refusal(|settings| settings.http.cors_origins = vec![wrong.into()]),
            ] {
                assert!(!said.contains("hunter2") && said.contains('x'), "{said}");
            }
        }
    }

    #[test]
    fn an_api_without_tls_stays_on_this_machine() {
        let plain = |listen: &str| {
            let mut settings = Settings { insecure_open: true, ..Settings::default() };
            settings.http.plain = true;
            settings.http.listen = listen.into();
            settings.check()
        };
        assert_eq!(plain("localhost:9090"), Ok(()));
        assert_eq!(plain("0.0.0.0:9090"), Err(Refused::Plain("0.0.0.0:9090".into())));
        let mut behind = Settings { insecure_open: true, ..Settings::default() };
        behind.http.plain = true;
        behind.http.listen = "0.0.0.0:9090".into();
        behind.http.trusted_proxies = vec!["192.0.2.7".parse().unwrap()];
        assert_eq!(behind.check(), Ok(()));
    }

    #[test]
    fn names_the_setting_that_cannot_work() {
        assert!(refusal(|settings| settings.max_vehicles = 0).contains("max_vehicles"));
        assert!(refusal(|settings| settings.hang_limit = Span::seconds(1)).contains("hang_limit"));
        assert!(refusal(|settings| settings.http.tokens = vec![String::new()]).contains("http.tokens"));
        for wrong in ["", "http://vagn.example", "vagn.example:9093", "*"] {
            assert!(
                refusal(|settings| settings.ops.names = vec![wrong.into()]).contains("ops.names"),
                "{wrong}"
            );
            let said = refusal(|settings| settings.http.names = vec![wrong.into()]);
            assert!(said.contains("http.names"), "{said}");
        }
        assert!(refusal(|settings| settings.http.cert = "x.pem".into()).contains("http.key"));
        assert!(refusal(|settings| settings.map.style_url = "http://x".into()).contains("map.style_url"));
        assert!(refusal(|settings| settings.tcp.listen = "nowhere".into()).contains("tcp.listen"));
        assert!(refusal(|settings| settings.emergency.url = "ftp://x".into()).contains("emergency.url"));
        assert!(
            refusal(|settings| settings.emergency.timeout = Span::seconds(0)).contains("emergency.timeout")
        );
        assert!(refusal(|settings| settings.partitions = 4_000_000_000).contains("partitions"));
    }
}
